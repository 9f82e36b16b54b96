//! Checks of the tree itself: `floors` (a crate depends only on floors below its own) and `requirements` (which is proved by which test).

mod floors;
mod requirements;

use std::process::ExitCode;

fn main() -> ExitCode {
    let findings = match std::env::args().nth(1).as_deref() {
        Some("floors") => floors::check(),
        Some("requirements") => requirements::check(std::env::args().nth(2).as_deref() == Some("--open")),
        _ => Err("usage: libp2p-proto-conformance floors | requirements [--open]".into()),
    };
    match findings {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in findings {
                eprintln!("{finding}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
