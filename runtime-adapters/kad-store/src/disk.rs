//! The file, and the thread that writes behind.

use bytes::Bytes;
use redb::{Database, ReadableTable as _, TableDefinition};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

const VALUES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("values");
const PROVIDERS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("providers");
/// Changes that wait; beyond that a call waits for the disk.
const MAX_WAITING: usize = 65_536;

/// Why a file can't be used, or was not written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the file of the DHT store: {0}")]
pub struct Error(Arc<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Arc::new(error.into()))
    }
}

/// A row to be written, or to be taken out.
#[derive(Debug)]
pub(crate) enum Change {
    Value(Bytes, Option<Vec<u8>>),
    Providers(Bytes, Option<Vec<u8>>),
}

/// Everything that stands in the file.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) values: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) providers: Vec<(Vec<u8>, Vec<u8>)>,
}

type Waiting = BTreeMap<Bytes, Option<Vec<u8>>>;

#[derive(Debug, Default)]
struct State {
    values: Waiting,
    providers: Waiting,
    /// Changes that the thread has taken and not written.
    writing: bool,
    closing: bool,
    error: Option<Error>,
    thread: Option<thread::JoinHandle<()>>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.values.is_empty() && self.providers.is_empty()
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something waits, or is written.
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A map of bytes is whole whoever has panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is open. Dropping it writes what waits.
#[derive(Debug)]
pub(crate) struct Disk {
    database: Arc<Database>,
    shared: Arc<Shared>,
}

impl Disk {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let database = Database::create(path)?;
        let shared = Shared {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        };
        Ok(Self {
            database: Arc::new(database),
            shared: Arc::new(shared),
        })
    }

    pub(crate) fn read(&self) -> Result<Rows, Error> {
        let transaction = self.database.begin_write()?;
        let mut rows = Rows::default();
        for (table, rows) in [(VALUES, &mut rows.values), (PROVIDERS, &mut rows.providers)] {
            // Makes the table if it is not there.
            for row in transaction.open_table(table)?.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
        }
        transaction.commit()?;
        Ok(rows)
    }

    /// Starts the thread that writes.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let (database, shared) = (Arc::clone(&self.database), Arc::clone(&self.shared));
        let thread = thread::Builder::new().name("kad-store".to_owned());
        let thread = thread.spawn(move || write_behind(&database, &shared));
        self.shared.lock().thread = Some(thread.map_err(redb::Error::Io)?);
        Ok(())
    }

    pub(crate) fn push(&self, change: Change) {
        let mut state = self.shared.lock();
        while state.thread.is_some()
            && state.values.len().saturating_add(state.providers.len()) >= MAX_WAITING
        {
            state = self.shared.wait(state);
        }
        match change {
            Change::Value(key, row) => state.values.insert(key, row),
            Change::Providers(key, row) => state.providers.insert(key, row),
        };
        self.shared.changed.notify_all();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        let thread = state.thread.take();
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = thread {
            // It does not panic; if it did, there would be nothing to do here.
            let _ended = thread.join();
        }
    }
}

/// Writes what waits, all of it in one transaction, again and again.
fn write_behind(database: &Database, shared: &Shared) {
    let mut state = shared.lock();
    loop {
        while state.is_idle() {
            if state.closing {
                return;
            }
            state = shared.wait(state);
        }
        let values = core::mem::take(&mut state.values);
        let providers = core::mem::take(&mut state.providers);
        state.writing = true;
        drop(state);
        let done = write(database, &values, &providers);
        state = shared.lock();
        state.writing = false;
        if let Err(error) = done {
            // What could not be written is lost on the disk; the index has it.
            state.error = Some(error);
        }
        shared.changed.notify_all();
    }
}

fn write(database: &Database, values: &Waiting, providers: &Waiting) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    for (table, changes) in [(VALUES, values), (PROVIDERS, providers)] {
        let mut table = transaction.open_table(table)?;
        for (key, row) in changes {
            match row {
                Some(row) => drop(table.insert(&**key, &**row)?),
                None => drop(table.remove(&**key)?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Tells of the disk while a machine owns the store.
#[derive(Clone, Debug)]
pub struct Handle(Weak<Disk>);

impl Handle {
    pub(crate) fn new(disk: &Arc<Disk>) -> Self {
        Self(Arc::downgrade(disk))
    }

    /// Waits until everything that the store was given by now is on the disk. At once if the store is gone: it has written all then.
    ///
    /// # Errors
    ///
    /// The last failure to write, once. What was to be written then is not on the disk; the store itself goes on from memory.
    pub fn flush(&self) -> Result<(), Error> {
        let Some(disk) = self.0.upgrade() else {
            return Ok(());
        };
        let mut state = disk.shared.lock();
        while state.writing || !state.is_idle() {
            state = disk.shared.wait(state);
        }
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
