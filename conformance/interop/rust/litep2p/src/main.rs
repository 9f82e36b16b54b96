//! `litep2p-peer`: litep2p behind the interoperability command line.

mod kad;
mod node;
mod streams;

fn main() -> std::process::ExitCode {
    interop_contract::main::<node::Node>()
}
