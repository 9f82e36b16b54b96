//! The address book between runs.

use crate::{error::Error, output::complain};
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_swarm::Swarm;
use std::{fs, io::ErrorKind, path::Path, time::SystemTime};

/// Bytes of a book that are read: 10 000 peers with 64 addresses of 100 bytes.
const MAX_BOOK: u64 = 64 << 20;

/// What an earlier run has kept.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::metadata(path) {
        Ok(known) if known.len() > MAX_BOOK => Err(Error::file(path, "too large for an address book")),
        Ok(_) => fs::read(path).map_err(|error| Error::file(path, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file(path, error)),
    }
}

/// Hands it to the swarm. A damaged book costs what is in it, and nothing else.
pub(crate) fn restore(swarm: &mut Swarm, now: Instant, path: &Path, snapshot: &[u8]) {
    if snapshot.is_empty() {
        return;
    }
    if let Err(error) = swarm.book_mut().restore(now, unix(), snapshot) {
        let name = path.display();
        complain(&format!(
            "{name}: the address book is damaged ({error}); what could be read is kept"
        ));
    }
}

/// What the next run is to know.
pub(crate) fn snapshot(swarm: &mut Swarm, now: Instant) -> Vec<u8> {
    swarm.book_mut().snapshot(now, unix())
}

/// The wall clock: addresses age between runs.
#[expect(clippy::disallowed_methods, reason = "a program is where time comes from")]
pub(crate) fn unix() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Keeps it for the next run. The file is whole at every moment.
pub(crate) fn write(path: &Path, snapshot: &[u8]) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, snapshot)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| Error::file(path, error))
}
