//! `holdfast-fuzz`: everything of Holdfast that reads bytes or texts of others, fed with made up ones by libFuzzer.
//!
//! One program holds all targets: `HOLDFAST_FUZZ_TARGET` names the one that runs, and libFuzzer's own arguments say how. `ops/fuzz.sh` calls
//! it. What is wrong is a panic, an execution that takes too long, one that takes more memory than its input can be worth, or a form that
//! changes when it is read and written again.
//!
//! # This program never
//! reaches out: nothing of what it feeds makes a connection, and what it writes lies in directories of its own.

#![no_main]

mod input;
mod memory;
mod protobuf;
mod seeds;
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::Target;

#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
    targets::named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
        println!("{}", names.join("\n"));
        std::process::exit(if name.is_empty() { 0 } else { 2 })
    })
});

fuzz_target!(
    init: {
        let target = *LazyLock::force(&TARGET);
        if let Some(directory) = std::env::var_os("HOLDFAST_FUZZ_SEEDS") {
            seeds::write(target, directory.as_ref());
            std::process::exit(0);
        }
        (target.prepare)();
    },
    |bytes: &[u8]| {
        let before = memory::begin();
        (TARGET.run)(bytes);
        memory::end(before, TARGET.memory, bytes.len());
    }
);
