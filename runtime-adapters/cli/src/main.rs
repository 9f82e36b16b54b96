//! The command `p2p`: a libp2p node for the command line.

mod action;
mod args;
mod book;
mod config;
mod decode;
mod demo;
mod dial;
mod error;
mod explain;
mod interfaces;
mod kad;
mod keys;
mod listen;
mod metrics;
mod nat;
mod node;
mod output;
mod record;
mod replay;
mod session;
mod sim;
mod support;

use args::{Command, Refusal};
use error::{Error, Exit};
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    let exit = match args::parse(std::env::args_os()) {
        Ok(args) => run(&args.command),
        Err(Refusal::Help(page)) => {
            // A closed pipe leaves nobody to tell.
            let _unheard = write!(std::io::stdout(), "{page}");
            Ok(Exit::Ok)
        }
        Err(Refusal::Wrong(line)) => Err(Error::Usage(line)),
    };
    let exit = exit.unwrap_or_else(|error| {
        output::complain(&error);
        error.exit()
    });
    exit.into()
}

fn run(command: &Command) -> Result<Exit, Error> {
    match command {
        Command::Listen(args) => listen::run(args),
        Command::Dial(args) => dial::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Keygen(args) => keys::keygen(args),
        Command::Id(args) => keys::id(args),
        Command::Decode(args) => decode::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Kad(args) => kad::run(args),
        Command::Nat(args) => nat::run(args),
        Command::Config => {
            print!("{}", config::example());
            Ok(Exit::Ok)
        }
    }
}
