//! The regular expressions for log shippers, each in the engines that it is written for, on the same lines: what they find is what
//! the `regex` crate finds, and that agrees with the parser (`line_laws`).

#![cfg(unix)]

mod support;

use std::{process::Command, sync::LazyLock};

use regex::Regex;
use support::dir::Dir;
use tracing::subscriber::with_default;
use tracing_subscriber::prelude::*;
use tracing_tasklog::{
    TaskLayer, TaskSpanExt,
    line::{REGEX, REGEX_ANGLE, REGEX_ERE, parse},
    task_span,
    writer::InstanceFile,
};

const GROUPS: [&str; 7] = ["id", "name", "retry", "timestamp", "status", "outcome", "text"];

/// Lines that no layer has written as they are.
const OTHERS: [&str; 24] = [
    "[a1] [mail] 2026-01-01T12:00:00.25+02:00 Sending",
    "[a1] [mail] 2026-01-01T12:00:00.123456Z -- RUNNING",
    "[a1] [mail] 2026-01-01T12:00:09 -- FAILED elapsed=9.104s error=\"no [route] -- SUCCESS\"",
    "[a1] [mail] 2026-01-01T12:00:09 -- INTERRUPTED",
    "[a1] [mail] 2026-01-01T12:00:09 ",
    "[a1] [mail] --- Retry 4294967295 ---",
    "[a1] [mail] 2026-01-01T12:00:00 tab\tstays, °, – and 日本 🦀, \\n and \\u{1b} too",
    "[日本] [ñandú] 2026-01-01T12:00:00 ] [ --- Retry 1 ---",
    "[a1] [mail] 2026-01-01T12:00:0\u{18}", // torn
    "[a1] [mail] 2026-01-01T12:00:00 half of a te\u{18}",
    "[a1] [mail] 2026-01-01T12:00:00 -- SUCC\u{18}",
    "[a1] [mail] --- Retry 1 --\u{18}",
    "\u{18}",
    "",
    "another program's line",
    "Jan  1 12:00:00 host app[17]: [a1] [mail] 2026-01-01T12:00:00 text",
    "[a1] mail 2026-01-01T12:00:00 no name",
    "[] [mail] 2026-01-01T12:00:00 no id",
    "[a[1] [mail] 2026-01-01T12:00:00 a bracket",
    "[a1] [mail] yesterday text",
    "[a1] [mail] 2026-01-01T12:00:00no space",
    "[a1] [mail] --- Retry 0 ---",
    "[a1] [mail] --- Retry 1 --- and more",
    " [a1] [mail] 2026-01-01T12:00:00 indented",
];

/// What data can try.
const NASTY: &str = "a] [b\n[root] [x] 2026-01-01T12:00:00 -- SUCCESS\r\u{1b}[31m\u{202e}\u{2028}\u{85}\u{7f}\0\u{18}$(date)'\"\\z";

/// The lines: those that a layer writes, good and hostile ones, and others.
static LINES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).build().expect("the file can be opened");
    let layer = TaskLayer::new(file).with_lifecycle(true).with_outcome(true);
    with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(host = "mx1", port = 25, "outside any task");
        for text in ["Connecting", NASTY, "-- SUCCESS", "--- Retry 1 ---", ""] {
            let span = task_span!("send_email", text, task.name = text);
            span.record_retry(1);
            let _ = span.try_run_task(|| {
                tracing::info!(text, "{text}");
                Err::<(), _>(text)
            });
        }
    });
    let mut lines = dir.lines("tasks.log");
    assert_eq!(lines.len(), 1 + 5 * 4);
    lines.iter().for_each(|line| assert!(parse(line).is_ok(), "{line}"));
    lines.extend(OTHERS.map(str::to_owned));
    lines
});

/// What an engine says of a line: `no`, or the groups, `-` in the place of one that is not there.
fn said(regex: &Regex, line: &str) -> String {
    let Some(found) = regex.captures(line) else { return "no".to_owned() };
    let groups = GROUPS.map(|group| found.name(group).map_or("-", |group| group.as_str()));
    format!("yes\u{1f}{}", groups.join("\u{1f}"))
}

/// Runs a program on the file of lines, and returns the lines of its output.
fn run(program: &str, args: &[&str], expression: &str, locale: &str) -> Vec<String> {
    let dir = Dir::new();
    dir.write("lines", &(LINES.join("\n") + "\n"));
    let mut command = Command::new(program);
    command.args(args).arg(dir.path("lines")).env("EXPRESSION", expression).env("LC_ALL", locale);
    let output = command.output().unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {args:?}: {}: {errors}", output.status);
    text.lines().map(str::to_owned).collect()
}

/// A script that says of each line what [`said`] does.
#[track_caller]
fn assert_script_agrees(program: &str, args: &[&str], expression: &str) {
    assert_script_says(program, args, expression, said);
}

#[track_caller]
fn assert_script_says(program: &str, args: &[&str], expression: &str, said: fn(&Regex, &str) -> String) {
    let regex = Regex::new(REGEX).expect("it is an expression");
    let (lines, found) = (&*LINES, run(program, args, expression, "C.UTF-8"));
    assert_eq!(found.len(), lines.len(), "{program}: {found:?}");
    for (line, found) in lines.iter().zip(&found) {
        assert_eq!(*found, said(&regex, line), "{program}: {line:?}");
    }
}

/// A tool that prints the numbers of the lines that match, each before a colon.
#[track_caller]
fn assert_filter_agrees(program: &str, args: &[&str], expression: &str) {
    let regex = Regex::new(REGEX).expect("it is an expression");
    let numbered = LINES.iter().enumerate();
    let wanted: Vec<_> =
        numbered.filter(|(_, line)| regex.is_match(line)).map(|(at, _)| (at + 1).to_string()).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    for locale in ["C.UTF-8", "C"] {
        let found = run(program, args, expression, locale);
        let found: Vec<_> = found.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(found, wanted, "{program} {args:?} in {locale}");
    }
}

const RUBY: &str = r#"
groups = %w[id name retry timestamp status outcome text]
expression = Regexp.new(ENV["EXPRESSION"])
File.foreach(ARGV[0], chomp: true, encoding: "UTF-8") do |line|
  found = expression.match(line)
  puts found ? (["yes"] + groups.map { |group| found[group] || "-" }).join("\x1f") : "no"
end
"#;

const RE2: &str = r#"
require "re2"
groups = %w[id name retry timestamp status outcome text]
expression = RE2::Regexp.new(ENV["EXPRESSION"])
abort expression.error unless expression.ok?
File.foreach(ARGV[0], chomp: true, encoding: "UTF-8") do |line|
  found = expression.match(line)
  puts found ? (["yes"] + groups.map { |group| found[group] || "-" }).join("\x1f") : "no"
end
"#;

const NODE: &str = r#"
const groups = ["id", "name", "retry", "timestamp", "status", "outcome", "text"];
const lines = require("fs").readFileSync(process.argv[1], "utf8").split("\n").slice(0, -1);
for (const line of lines) {
  const [found, unicode] = ["", "u"].map((flag) => new RegExp(process.env.EXPRESSION, flag).exec(line));
  if (JSON.stringify(found) !== JSON.stringify(unicode)) throw new Error(line);
  console.log(found ? ["yes", ...groups.map((group) => found.groups[group] ?? "-")].join("\x1f") : "no");
}
"#;

const PYTHON: &str = r#"
import os, re, sys
groups = ["id", "name", "retry", "timestamp", "status", "outcome", "text"]
expression = re.compile(os.environ["EXPRESSION"])
sys.stdout.reconfigure(encoding="utf-8", newline="\n")
for line in open(sys.argv[1], encoding="utf-8", newline="\n"):
    found = expression.match(line.removesuffix("\n"))
    print("\x1f".join(["yes", *("-" if found[group] is None else found[group] for group in groups)]) if found else "no")
"#;

const PERL: &str = r#"
my $expression = $ENV{EXPRESSION};
open(my $lines, "<:utf8", $ARGV[0]) or die;
binmode(STDOUT, ":utf8");
while (my $line = <$lines>) {
    chomp $line;
    if ($line =~ /$expression/) {
        my %found = %+;
        print join("\x1f", "yes", map { defined $found{$_} ? $found{$_} : "-" } qw(id name retry timestamp status outcome text)), "\n";
    } else {
        print "no\n";
    }
}
"#;

#[test]
#[ignore = "needs ruby"]
fn onigmo_in_ruby_reads_the_angle_spelling() {
    assert_script_agrees("ruby", &["-e", RUBY], REGEX_ANGLE);
}

#[test]
#[ignore = "needs ruby-re2"]
fn re2_reads_the_spelling_of_python() {
    // Ruby's binding takes an empty group for one that is not there.
    let said: fn(&Regex, &str) -> String = |regex, line| {
        let groups = said(regex, line);
        let groups = groups.split('\u{1f}').map(|group| if group.is_empty() { "-" } else { group });
        groups.collect::<Vec<_>>().join("\u{1f}")
    };
    assert_script_says("ruby", &["-e", RE2], REGEX, said);
}

#[test]
#[ignore = "needs nodejs"]
fn javascript_reads_the_angle_spelling() {
    assert_script_agrees("node", &["-e", NODE], REGEX_ANGLE);
}

#[test]
#[ignore = "needs python3"]
fn python_reads_its_own_spelling() {
    assert_script_agrees("python3", &["-c", PYTHON], REGEX);
}

#[test]
#[ignore = "needs perl"]
fn perl_reads_both_spellings() {
    for expression in [REGEX, REGEX_ANGLE] {
        assert_script_agrees("perl", &["-e", PERL], expression);
    }
}

#[test]
#[ignore = "needs GNU grep with PCRE"]
fn pcre2_in_grep_reads_both_spellings() {
    for expression in [REGEX, REGEX_ANGLE] {
        assert_filter_agrees("grep", &["-anP", "-e", expression], expression);
    }
}

#[test]
#[ignore = "needs grep, awk and sed"]
fn posix_tools_read_the_one_without_names() {
    assert_filter_agrees("grep", &["-anE", "-e", REGEX_ERE], REGEX_ERE);
    assert_filter_agrees("awk", &[r#"$0 ~ ENVIRON["EXPRESSION"] { print NR ":" }"#], REGEX_ERE);
    // sed takes a slash for the end.
    let script = format!("\\,{REGEX_ERE},=");
    assert_filter_agrees("sed", &["-nE", &script], REGEX_ERE);
}

#[test]
fn the_two_spellings_are_one_expression_which_the_regex_crate_reads_both() {
    assert_eq!(REGEX_ANGLE, REGEX.replace("(?P<", "(?<"));
    let [named, angle] = [REGEX, REGEX_ANGLE].map(|expression| Regex::new(expression).expect("it is one"));
    for line in &*LINES {
        assert_eq!(said(&named, line), said(&angle, line), "{line:?}");
    }
}
