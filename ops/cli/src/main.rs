//! `holdfast`: the command line of Holdfast.
//!
//! The tree of commands is in [`cli`], each noun has a file in [`commands`], and all that is printed goes through [`output`].
//!
//! # This program never
//! takes a secret as an argument, shows a value on a terminal unasked, or links the server.

mod accessor;
mod cli;
mod commands;
mod dotenv;
mod exit;
mod input;
mod journal;
mod node_files;
mod output;
mod server;
mod settings;
mod ticket;
mod transfer;
mod value;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    if cli.globals.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => Err(exit::Failure::io("cannot start", &error)),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                output::to_stderr(&text);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}
