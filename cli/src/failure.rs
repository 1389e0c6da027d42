//! The one place where errors become sentences, next steps and exit codes.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use serde_json::json;
use shoal_api::{ApiError, ErrorCode};
use shoal_node::NodeError;
use shoal_node::config::ConfigError;
use shoal_node::get::{GetError, Tried};
use shoal_node::home::NoHome;
use shoal_protocol::display::{bytes_human, escape, escape_os};
use shoal_protocol::hello::Refusal;

use crate::output::{Form, Output, Tone};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell.
    Told(Box<ApiError>),
    /// Nobody reads any more what is printed, so nothing is told either.
    Unread,
}

impl Failure {
    /// An error with its next step.
    pub(crate) fn new(
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        ApiError::new(code, message).hint(hint).into()
    }

    /// What was typed makes no sense.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Usage, message, hint)
    }

    /// A mistake of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        ApiError::internal(message).into()
    }

    /// What the system says about a path.
    pub(crate) fn path(doing: &str, path: &Path, error: &io::Error) -> Self {
        let shown = shown(path);
        let (code, hint) = match error.kind() {
            io::ErrorKind::NotFound => (ErrorCode::NotFound, "check the path"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
                ErrorCode::Permission,
                "check who owns it, or run this as its owner",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                ErrorCode::DiskFull,
                "make room, then run the same command again",
            ),
            io::ErrorKind::NotADirectory => (
                ErrorCode::NotFound,
                "a part of the path is no folder: check the path",
            ),
            io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => (
                ErrorCode::TargetExists,
                "move away what is there, or name another path",
            ),
            _ => (
                ErrorCode::Internal,
                "see what the system says, and try again",
            ),
        };
        Self::new(code, format!("{doing} {shown}: {error}"), hint)
    }

    /// Ended by a signal, and how to go on.
    pub(crate) fn interrupted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Interrupted, message, hint)
    }

    /// Whether it is of that kind.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Told(error) if error.code == code)
    }

    /// Tells it, and returns what the process ends with.
    pub(crate) fn report(&self, output: &Output) -> ExitCode {
        let Self::Told(error) = self else {
            return ExitCode::SUCCESS;
        };
        let (message, hint) = sentences(error);
        match output.form {
            Form::Json => {
                let line = json!({
                    "code": error.code.word(),
                    "message": message,
                    "hint": hint,
                    "exit": error.code.exit_code(),
                });
                // When stdout is gone too, the exit code is all that is left.
                let _ = output.tagged("error", &line);
            }
            Form::Human => {
                let head = match error.code {
                    ErrorCode::Interrupted => "stopped:",
                    _ => "error:",
                };
                output.stderr(&format!("{} {}", output.toned(head, Tone::Bad), message));
                output.stderr(&format!("  {} {hint}", output.toned("next:", Tone::Strong)));
            }
        }
        ExitCode::from(error.code.exit_code())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Told(Box::new(error))
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        const ELSEWHERE: &str = "with --listen ADDR:PORT or `shoal config set listen ADDR:PORT`; port 0 picks a free one";
        match error {
            NodeError::Config(error) => error.into(),
            NodeError::PortInUse { address, why } => Self::new(
                ErrorCode::PortInUse,
                format!(
                    "port {} is in use by another program ({why})",
                    address.port()
                ),
                format!("stop that program, or choose another port {ELSEWHERE}"),
            ),
            NodeError::Listen { address, source } => Self::new(
                ErrorCode::PortInUse,
                format!("cannot listen on {address}: {source}"),
                format!("choose an address of this machine {ELSEWHERE}"),
            ),
            error => ApiError::from(&error).into(),
        }
    }
}

impl From<NoHome> for Failure {
    fn from(_: NoHome) -> Self {
        Self::usage(
            "there is no home directory",
            "set HOME, or say where to keep shoal's files with --home DIR",
        )
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Io { path, source } => {
                Self::path("cannot use the settings in", path, source)
            }
            ConfigError::Toml { path, why } => Self::usage(
                format!(
                    "the settings in {} are not valid TOML: {}",
                    shown(path),
                    why.trim_end()
                ),
                "correct the file, or move it away to begin with the defaults",
            ),
            ConfigError::UnknownKey(key) => Self::new(
                ErrorCode::NotFound,
                format!("there is no setting \"{}\"", escape(key)),
                "`shoal config get` lists them all; `shoal config path` prints where they are",
            ),
            ConfigError::Value { key, value, form } => Self::usage(
                format!("\"{}\" is no value for the setting {key}", escape(value)),
                format!("it takes {form}"),
            ),
        }
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        match &error {
            GetError::BadLink(why) => Self::usage(
                format!("this link cannot be used: {}", escape(why)),
                "copy the whole link again, in quotes, or leave --via out",
            ),
            GetError::Refused(refusal) => refused(*refusal),
            GetError::Unreachable { tried } => Self::new(
                ErrorCode::Unreachable,
                format!(
                    "nobody could be reached who has these files{}",
                    listed(tried)
                ),
                format!("check that the sharing machine is on and in reach, then {AGAIN}"),
            ),
            GetError::Verification(what) => Self::new(
                ErrorCode::Verification,
                format!(
                    "what was sent is not what the link promises ({}); nothing of it was kept",
                    escape(what)
                ),
                "ask whoever gave you the link for a new one",
            ),
            GetError::Changed { address } => Self::new(
                ErrorCode::Verification,
                format!(
                    "files were changed or moved at {} after they were shared: this link does not stand for them any more",
                    escape(address)
                ),
                "ask whoever gave you the link to share them again",
            ),
            GetError::TorrentName { path } => Self::new(
                ErrorCode::Usage,
                format!(
                    "BitTorrent here takes no names with a backslash, as in \"{}\"",
                    escape(path)
                ),
                "leave --via out, or use --via iroh,http",
            ),
            GetError::Cancelled => Self::interrupted("not all of it is there yet", AGAIN),
            _ => here(&error),
        }
    }
}

const AGAIN: &str = "run the same command again: it goes on where it stopped";

/// What this machine had against a `get`.
fn here(error: &GetError) -> Failure {
    match error {
        GetError::OneName {
            path,
            first,
            second,
        } => Failure::new(
            ErrorCode::TargetExists,
            format!(
                "{} cannot hold both \"{}\" and \"{}\": its file system takes them for one name",
                shown(path),
                escape(first),
                escape(second)
            ),
            "name a folder on another file system with -o",
        ),
        GetError::DiskFull {
            path,
            needed_bytes,
            free_bytes,
        } => Failure::new(
            ErrorCode::DiskFull,
            disk_full(path, *needed_bytes, *free_bytes),
            format!("make room, then {AGAIN}"),
        ),
        GetError::TargetExists { path } => Failure::new(
            ErrorCode::TargetExists,
            format!(
                "{} is there already and has other content; it was left alone",
                shown(path)
            ),
            "move it away, or name another folder with -o",
        ),
        GetError::InUse { path } => Failure::new(
            ErrorCode::TargetExists,
            format!(
                "another `shoal get` fetches the same link into {}",
                shown(path)
            ),
            "wait for it, or name another folder with -o",
        ),
        GetError::Permission { path, why } => Failure::new(
            ErrorCode::Permission,
            format!("{} may not be written: {}", shown(path), escape(why)),
            "name a folder that is yours with -o",
        ),
        GetError::Io { path, source } => not_written(path, source),
        _ => Failure::new(ErrorCode::Internal, error.to_string(), AGAIN),
    }
}

/// What the jail calls something of the wrong kind has no kind of its own among errors of the system.
fn not_written(path: &Path, error: &io::Error) -> Failure {
    let is_file = |at: &Path| at.symlink_metadata().is_ok_and(|it| !it.is_dir());
    let in_the_way = path.ancestors().find(|at| is_file(at));
    match (error.kind(), in_the_way) {
        (io::ErrorKind::Other | io::ErrorKind::NotADirectory, Some(file)) => Failure::new(
            ErrorCode::TargetExists,
            format!(
                "{} is there already and is no folder; it was left alone",
                shown(file)
            ),
            "move it away, or name another folder with -o",
        ),
        _ => Failure::path("cannot write", path, error),
    }
}

fn refused(refusal: Refusal) -> Failure {
    let (what, next) = match refusal {
        Refusal::Unknown => ("this link is not known there", "ask for a new one"),
        Refusal::Stopped => ("this link was stopped by its owner", "ask for a new one"),
        Refusal::Expired => ("this link has expired", "ask for a new one"),
        Refusal::UsedUp => (
            "all downloads that this link was made for are taken",
            "ask for a new one",
        ),
        Refusal::Resting => (
            "this link rests: its files cannot be read at the moment",
            "tell whoever gave it to you, and try later",
        ),
        Refusal::Password => (
            "this link needs a password",
            "run it in a terminal, which asks for it, or name a file that has it: --password-file FILE",
        ),
        Refusal::WrongPassword => (
            "that is not the password of this link",
            "try again, or ask whoever gave you the link",
        ),
        Refusal::TooManyTries => (
            "too many wrong passwords were tried",
            "wait a minute, then run the same command again",
        ),
    };
    Failure::new(ErrorCode::Refused, what, next)
}

fn listed(tried: &[Tried]) -> String {
    tried
        .iter()
        .map(|Tried { way, address, why }| {
            format!("\n  {way} {}: {}", escape(address), escape(why))
        })
        .collect()
}

fn disk_full(path: &Path, needed_bytes: u64, free_bytes: u64) -> String {
    let figures = match needed_bytes {
        0 => String::new(),
        _ => format!(
            ": {} more are needed and {} are free",
            bytes_human(needed_bytes),
            bytes_human(free_bytes)
        ),
    };
    format!("the disk is full in {}{figures}", shown(path))
}

fn shown(path: &Path) -> String {
    escape_os(path.as_os_str().as_encoded_bytes()).into_owned()
}

/// Errors of writing to stdout; errors about files go through [`Failure::path`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            io::ErrorKind::StorageFull => Self::new(
                ErrorCode::DiskFull,
                "the output could not be written: the disk is full",
                "make room, then run the same command again",
            ),
            _ => Self::new(
                ErrorCode::Internal,
                format!("the output could not be written: {error}"),
                "check where stdout leads to",
            ),
        }
    }
}

/// What happened, and what to do next: the error's own hint, the end of its sentence (`...; do this`), or what helps
/// for its kind.
fn sentences(error: &ApiError) -> (&str, String) {
    match (&error.hint, error.message.rsplit_once("; ")) {
        (Some(hint), _) => (&error.message, hint.clone()),
        (None, Some((what, next))) => (what, next.to_owned()),
        (None, None) => (&error.message, usual_step(error.code).to_owned()),
    }
}

fn usual_step(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Usage => {
            "correct it and run the command again; `shoal help COMMAND` tells what it takes"
        }
        ErrorCode::NotFound => "check the spelling; `shoal shares` lists what is shared",
        ErrorCode::Permission => "check who owns it, or run this as its owner",
        ErrorCode::Refused => "ask whoever gave you the link for a new one",
        ErrorCode::Unreachable => {
            "ask whether the other side is running, and run the same command again: it goes on where it stopped"
        }
        ErrorCode::Verification => "ask whoever gave you the link for a new one",
        ErrorCode::DiskFull => "make room, then run the same command again",
        ErrorCode::TargetExists => "move it away, or name another folder with -o",
        ErrorCode::NoNode => "start one: shoal up --detach",
        ErrorCode::PortInUse => "name another with --listen ADDR:PORT; port 0 picks a free one",
        ErrorCode::HomeInUse => "see `shoal status`, or end that node: shoal down",
        ErrorCode::StoreNewer => "upgrade this program, or use another home with --home",
        ErrorCode::Interrupted => "run the same command again",
        ErrorCode::Internal => "see `shoal logs`, and tell the people who make Shoal",
    }
}

/// A command line that clap refuses: help and version are no errors.
pub(crate) fn report_usage(error: clap::Error, wants_json: bool) -> ExitCode {
    let fails = error.use_stderr();
    let error = escaped(error);
    if wants_json && fails {
        let rendered = error.render().to_string();
        // The first paragraph; usage and where to find more follow.
        let message: Vec<&str> = rendered
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let message = message.join(" ");
        let line = json!({
            "type": "error",
            "code": ErrorCode::Usage.word(),
            "message": message.trim_start_matches("error: "),
            "hint": "see `shoal help`",
            "exit": ErrorCode::Usage.exit_code(),
        });
        println!("{line}");
    } else {
        // Nobody reads any more: the exit code says the rest.
        let _ = error.print();
    }
    if fails {
        ExitCode::from(ErrorCode::Usage.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

/// What was typed is quoted in the error, and may be a name with control characters, pasted from somebody's link.
fn escaped(mut error: clap::Error) -> clap::Error {
    let quoted: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => {
                Some((kind, ContextValue::String(escape(text).into_owned())))
            }
            ContextValue::Strings(texts) => {
                let texts = texts.iter().map(|text| escape(text).into_owned()).collect();
                Some((kind, ContextValue::Strings(texts)))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in quoted {
        error.insert(kind, value);
    }
    error
}
