//! Identities: making them, reading and writing their files.

mod format;

use crate::{
    args,
    error::{Error, Exit},
    output::{Output, complain},
    support::{key_name, key_type, no_such_key},
};
use libp2p_proto_core::Rng;
use libp2p_proto_identity::{KeyType, Keypair};
use serde_json::{Map, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
};
use zeroize::Zeroizing;

pub(crate) use format::Format;

/// Bytes of a key file that are read: kubo's configuration has about 4 KiB, an RSA key of 8192 bits in base 64 about 6.
const MAX_FILE: u64 = 1 << 20;

pub(crate) fn keygen(args: &args::Keygen) -> Result<Exit, Error> {
    let Some(key) = key_type(&args.key) else {
        complain(&no_such_key(&args.key));
        return Ok(Exit::Unsupported);
    };
    let keys = generate(key)?;
    if args.output.out.is_none() {
        // There is nowhere else for a new key to go.
        return print_key(&keys, args.output.format.unwrap_or(Format::Base64));
    }
    finish(&keys, &args.output)
}

pub(crate) fn id(args: &args::Id) -> Result<Exit, Error> {
    let keys = load(&args.file)?;
    match (&args.output.out, args.output.format) {
        (None, Some(format)) => print_key(&keys, format),
        _ => finish(&keys, &args.output),
    }
}

/// Writes the key where a file is named, and says whose it is.
fn finish(keys: &Keypair, output: &args::KeyOutput) -> Result<Exit, Error> {
    if let Some(path) = &output.out {
        let bytes = output.format.unwrap_or(Format::Protobuf).encode(keys);
        write_private(path, &bytes)?;
    }
    let public = keys.public();
    let mut line = Map::new();
    line.insert("peerId".into(), json!(public.peer_id().to_string()));
    line.insert("keyType".into(), json!(key_name(public.key_type())));
    line.insert(
        "publicKey".into(),
        json!(data_encoding::BASE64.encode(public.encode())),
    );
    if let Some(path) = &output.out {
        line.insert("file".into(), json!(path.display().to_string()));
    }
    Output::new(output.json).print(&line.into());
    Ok(Exit::Ok)
}

/// The private key on standard output: asked for, so that it can be piped.
fn print_key(keys: &Keypair, format: Format) -> Result<Exit, Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(&format.encode(keys))?;
    out.flush()?;
    Ok(Exit::Ok)
}

/// A new identity.
pub(crate) fn generate(key: KeyType) -> Result<Keypair, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| Error::Failed(format!("no entropy: {error}")))?;
    let failed = |error| Error::Failed(format!("no {} key could be made: {error}", key_name(key)));
    Keypair::generate(key, &mut Rng::from_seed(*seed)).map_err(failed)
}

/// Reads a key file of any of the implementations.
fn load(path: &Path) -> Result<Keypair, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::file(path, error);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    read.map_err(|error| wrong(&error))?;
    format::decode(&bytes).map_err(|error| wrong(&error))
}

/// The identity of a node: read, or made and kept for the next run.
pub(crate) fn load_or_make(path: &Path, key: KeyType) -> Result<Keypair, Error> {
    if path.exists() {
        check_permissions(path)?;
        return load(path);
    }
    let keys = generate(key)?;
    write_private(path, &keys.encode_protobuf())?;
    Ok(keys)
}

/// Writes a new file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::file(path, "exists already, and a key is never overwritten")
            }
            _ => Error::file(path, error),
        })
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)
        .map_err(|error| Error::file(path, error))?
        .permissions()
        .mode();
    let (mode, others) = (mode & 0o777, mode & 0o077);
    if others == 0 {
        return Ok(());
    }
    Err(Error::file(
        path,
        format!("others may read this key (mode {mode:o}): chmod 600 it"),
    ))
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> Result<(), Error> {
    Ok(())
}
