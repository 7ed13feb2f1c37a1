//! logrotate(8), on a configuration and a state file of the test's own.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// logrotate with what it was told.
#[derive(Debug)]
pub(crate) struct Logrotate {
    program: PathBuf,
    config: PathBuf,
    state: PathBuf,
}

impl Logrotate {
    /// Has it rotate `log` by these directives. The configuration and the state are files in `folder`.
    pub(crate) fn new(folder: &Path, log: &Path, directives: &str) -> Self {
        let (config, state) = (folder.join("logrotate.conf"), folder.join("logrotate.state"));
        fs::write(&config, format!("\"{}\" {{\n{directives}\n}}\n", log.display()))
            .expect("the disk has room");
        // It takes no configuration that others may write to.
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).expect("the file is ours");
        Self { program: program(), config, state }
    }

    /// Starts it, in that folder. It rotates, whatever the state file says of the last time.
    pub(crate) fn start(&self) -> Child {
        let mut command = Command::new(&self.program);
        command.current_dir(self.config.with_file_name(""));
        command.arg("--force").arg("--state").arg(&self.state).arg(&self.config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("logrotate can be run")
    }
}

/// What it says on stderr until its end, which must be a good one.
pub(crate) fn wait_for(logrotate: Child) -> String {
    let output = logrotate.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "logrotate: {}\n{said}", output.status);
    said
}

/// Where logrotate is: Debian's lies in a directory that not every PATH names.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut programs = directories.map(|directory| directory.join("logrotate"));
    programs.find(|program| program.is_file()).expect("logrotate is installed")
}
