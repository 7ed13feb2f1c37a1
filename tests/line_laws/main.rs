//! The laws of the line, through a real `TaskLayer` in a registry, for data that means harm.
//!
//! 1. What was written parses, and writing it again gives the same bytes ([`written`]).
//! 2. What is parsed out is what went in, after the escapes ([`written`], against [`reference`]).
//! 3. No input whatever yields a line of another kind or another tag, whatever the timer prints ([`written`]).
//! 4. The parser takes any text: it never panics, says where a text is no line, and what it takes it writes
//!    again in the same bytes ([`parsed`], [`edges`]).
//! 5. `line::REGEX` agrees with the parser ([`written`], [`parsed`]).
//! 6. A line that is too long is cut at a character, to its limit, and says how much is missing ([`written`], [`edges`]).
//! 7. Fields are printed as tracing-subscriber prints them ([`examples`]).
//!
//! And of every line, in every test: one record is one line and one `write` ([`capture`]).

mod capture;
mod edges;
mod examples;
mod parsed;
mod reference;
mod story;
mod texts;
mod written;
