//! Takes the program out of each guide: its first block of Rust, so that the blocks behind it can use it.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    for (guide, file) in [
        ("../../protocols/README.md", "protocol.rs"),
        ("../../runtime-adapters/README.md", "runtime.rs"),
    ] {
        println!("cargo::rerun-if-changed={guide}");
        let text = fs::read_to_string(guide)?;
        let program = text
            .split("```rust\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        fs::write(Path::new(&out).join(file), program.ok_or(guide)?)?;
    }
    Ok(())
}
