//! `browser-bindgen INPUT.wasm FOLDER`: writes the module and its JavaScript, as wasm-bindgen's own command does, in the version of the lock file.

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let input = args.next().context("no input")?;
    let folder = args.next().context("no folder")?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(input)
        .out_name("node")
        .web(true)?
        .omit_default_module_path(false)
        .typescript(true)
        .remove_name_section(true);
    bindgen.generate(folder)
}
