//! Prints the path of the protobuf compiler that comes inside the crate `protoc-bin-vendored`.
//! litep2p's build script needs one (in `PROTOC` or the search path); `install.sh` asks this program.

fn main() -> Result<(), protoc_bin_vendored::Error> {
    println!("{}", protoc_bin_vendored::protoc_bin_path()?.display());
    Ok(())
}
