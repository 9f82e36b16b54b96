//! The command `p2p`: a libp2p node for the command line.

mod args;
mod config;
mod decode;
mod demo;
mod dial;
mod keys;
mod listen;
mod metrics;
mod node;
mod output;

use clap::Parser as _;
use std::process::ExitCode;

/// How a run ended, as an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Ok,
    Failed,
    Unsupported,
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Unsupported => 2,
            Exit::Usage => 64,
        })
    }
}

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let wrong = error.use_stderr();
            // A closed pipe leaves nobody to tell.
            let _unheard = error.print();
            return if wrong {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            };
        }
    };
    let result = match args.command {
        args::Command::Listen(listen) => listen::run(&listen),
        args::Command::Dial(dial) => dial::run(&dial),
        args::Command::Demo(demo) => demo::run(&demo),
        args::Command::Keygen(keygen) => keys::keygen(&keygen),
        args::Command::Id(id) => keys::id(&id),
        args::Command::Decode(decode) => decode::run(&decode),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("p2p: {error}");
            Exit::Failed.into()
        }
    }
}
