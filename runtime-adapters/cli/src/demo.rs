//! `p2p demo`.

use crate::{Exit, args};
use std::error::Error;

pub(crate) fn run(_: &args::Demo) -> Result<Exit, Box<dyn Error>> {
    Err("no demo".into())
}
