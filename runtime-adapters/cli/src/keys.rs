//! Key files: the protobuf that go, js and rust write, bare or in base 64.

use crate::{Exit, args, node::new_keys};
use libp2p_proto_identity::{KeyType, Keypair};
use std::{error::Error, fs, io::Write as _, path::Path};

pub(crate) fn keygen(args: &args::Keygen) -> Result<Exit, Box<dyn Error>> {
    let keys = new_keys(args.key)?;
    match &args.out {
        Some(path) => {
            let bytes = if args.base64 {
                keys.encode_base64().as_bytes().to_vec()
            } else {
                keys.encode_protobuf().to_vec()
            };
            write_private(path, &bytes)?;
            println!("{}", keys.public().peer_id());
        }
        None => println!("{}", *keys.encode_base64()),
    }
    Ok(Exit::Ok)
}

pub(crate) fn id(args: &args::Id) -> Result<Exit, Box<dyn Error>> {
    let keys = load(&args.file)?;
    println!("{}", keys.public().peer_id());
    if args.export {
        println!("{}", *keys.encode_base64());
    }
    Ok(Exit::Ok)
}

/// Reads a key file of any of the implementations.
fn load(path: &Path) -> Result<Keypair, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| text.trim().chars().all(|c| c.is_ascii_graphic()));
    let keys = match text.map(Keypair::decode_base64) {
        Some(Ok(keys)) => Ok(keys),
        _ => Keypair::decode_protobuf(&bytes),
    };
    keys.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The identity of a node: read, or made and kept for the next run.
pub(crate) fn load_or_make(path: &Path, key: KeyType) -> Result<Keypair, Box<dyn Error>> {
    if path.exists() {
        check_permissions(path)?;
        return load(path);
    }
    let keys = new_keys(key)?;
    write_private(path, &keys.encode_protobuf())?;
    Ok(keys)
}

/// Writes a new file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options
        .open(path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    file.write_all(bytes)?;
    Ok(())
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), Box<dyn Error>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{}: others may read this key; chmod 600 it", path.display()).into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> Result<(), Box<dyn Error>> {
    Ok(())
}
