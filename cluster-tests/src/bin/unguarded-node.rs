//! One node that may leave a core file: the control beside `holdfastd`, which may not.
//!
//! It is put together by the same [`Node::boot`] and frees memory by the same allocator. What is asked of it can then be searched for in
//! the core file. `--marker HEX` has it hold the bytes that HEX stands for, reversed, so that the search is known to find something.

use node::boot::{Ambient, Node};
use node::config::Config;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: node::memory::Allocator = node::memory::ALLOCATOR;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut config, mut set, mut marker) = (PathBuf::new(), Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match argument.as_str() {
            "--config" => config = value.into(),
            "--set" => set.push(value),
            "--marker" => marker = value.into_bytes().into_iter().rev().collect(),
            other => return Err(format!("{other} is unknown").into()),
        }
    }
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Core, unlimited)?;
    let config = Config::load(&config, std::env::vars(), &set)?;
    node::logging::start(&config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut node = Node::boot(config, Ambient::real()).await?;
        let reason = node.failed().await;
        drop(marker);
        Err(reason.into())
    })
}
