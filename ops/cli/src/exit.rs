//! How the program ends: exit codes, and errors in three lines: what failed, why, what to do next.

use std::{fmt, io};

use proto_client::{ClientError, ConfigError};
use tonic::Code;

/// What a script may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Unexpected = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    NotAuthenticated = 5,
    Conflict = 6,
    Unavailable = 7,
    Integrity = 8,
    Partial = 9,
}

/// The table that `holdfast help exit-codes` prints.
pub(crate) const TABLE: &str = "\
What the exit code of every command means:

  0  done
  1  something unexpected
  2  wrong usage or configuration: nothing was sent
  3  not found
  4  denied: no policy of the token allows it
  5  not authenticated: no token, or it has expired or was revoked
  6  conflict: the state is not what the command expected
  7  sealed, no leader, unreachable, or too slow; a change may still have been made
  8  integrity failure: the journal or a bundle is damaged
  9  partial: some items were done and some failed";

impl Exit {
    fn of(code: Code) -> Exit {
        match code {
            Code::NotFound => Exit::NotFound,
            Code::PermissionDenied => Exit::Denied,
            Code::Unauthenticated => Exit::NotAuthenticated,
            Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => Exit::Conflict,
            Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
            Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
            Code::DataLoss => Exit::Integrity,
            _ => Exit::Unexpected,
        }
    }

    /// What usually helps.
    fn advice(self) -> &'static str {
        match self {
            Exit::NotFound => "`list` of the same noun shows what there is; for a secret, name another environment with -e",
            Exit::Denied => "`holdfast token lookup` shows the policies of this token; ask for one that allows it",
            Exit::NotAuthenticated => "give a token with HOLDFAST_TOKEN or --token-file; `holdfast token lookup` checks it",
            Exit::Conflict => {
                "see where it stands (`holdfast secret history PATH` for a secret), then ask again with what you expect"
            }
            Exit::Unavailable => "`holdfast cluster status` shows whether there is a leader; check --addr and the network",
            Exit::Usage => "`--help` after the command shows what it takes",
            Exit::Integrity => "keep this file and the node as they are, and compare with another node or an older bundle",
            Exit::Ok | Exit::Unexpected | Exit::Partial => {
                "look for the request id in the journal: `holdfast audit query --request ID`"
            }
        }
    }
}

/// Why a command did not do all that was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    why: String,
    next: String,
    /// Nothing is left to tell, or whoever read the output went away.
    silent: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, why: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), why: why.into(), next: exit.advice().to_owned(), silent: false }
    }

    /// The command line or a setting is wrong.
    pub(crate) fn usage(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, what, why).next(next)
    }

    /// The answer itself said all; only the exit code is left to say.
    pub(crate) fn told(exit: Exit) -> Failure {
        Failure { silent: true, ..Failure::new(exit, "", "") }
    }

    /// A file or a stream of this machine.
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Failure {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::Usage } else { Exit::Unexpected };
        Failure::new(exit, what, error.to_string()).next("check the path, its permissions and the space left")
    }

    /// The reason alone, for a row of a table.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = next.into();
        self
    }
}

/// Three lines; in the alternate form one, without advice.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.silent {
            return Ok(());
        }
        if formatter.alternate() {
            return write!(formatter, "{}: {}", self.what, self.why);
        }
        write!(formatter, "error: {}\n  why: {}\n next: {}", self.what, self.why, self.next)
    }
}

/// The output went nowhere; when its reader left (`| head`), that is not an error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let exit = if silent { Exit::Ok } else { Exit::Unexpected };
        Failure { silent, ..Failure::new(exit, "cannot write the output", error.to_string()) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::usage("cannot use the connection settings", error.to_string(), "check --addr, --ca-file and the token")
    }
}

/// Says what was being tried when a call failed.
pub(crate) trait Doing<T> {
    /// `what` completes "error: cannot …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, ClientError> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::of_call(&what(), &error))
    }
}

impl Failure {
    pub(crate) fn of_call(what: &str, error: &ClientError) -> Failure {
        let exit = Exit::of(error.code);
        let why = format!("{} (request {}, node {})", error.message, error.request_id, error.endpoint);
        let failure = Failure::new(exit, format!("cannot {what}"), why);
        match &error.hint {
            Some(hint) => failure.next(hint.clone()),
            None => failure,
        }
    }
}

/// A refusal of one item among many, as a failure of its own.
pub(crate) fn refused(what: &str, code: i32, message: &str) -> Failure {
    Failure::new(Exit::of(Code::from(code)), format!("cannot {what}"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grpc_code_has_the_exit_code_of_the_table() {
        let table = [
            (Code::NotFound, 3),
            (Code::PermissionDenied, 4),
            (Code::Unauthenticated, 5),
            (Code::Aborted, 6),
            (Code::AlreadyExists, 6),
            (Code::FailedPrecondition, 6),
            (Code::Unavailable, 7),
            (Code::DeadlineExceeded, 7),
            (Code::InvalidArgument, 2),
            (Code::Internal, 1),
            (Code::DataLoss, 8),
        ];
        for (code, number) in table {
            assert_eq!(Exit::of(code) as u8, number, "{code:?}");
        }
        for number in 0..=9 {
            assert!(TABLE.contains(&format!("\n  {number}  ")), "{number} is not in the table");
        }
    }

    #[test]
    fn an_error_is_three_lines() {
        let text = Failure::new(Exit::Denied, "cannot read db/password", "no rule allows read").to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("error: cannot read db/password\n  why: no rule allows read\n next: "));
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Ok, ""));
    }
}
