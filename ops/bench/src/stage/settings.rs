//! How to talk to a cluster, from the `client.toml` of its kit.

use std::path::{Path, PathBuf};

use proto_client::{ClientConfig, Token};
use serde::Deserialize;

use crate::fault::Fault;

/// What the file may say; more in it belongs to the command line.
#[derive(Deserialize)]
struct Profile {
    addr: Vec<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    server_name: Option<String>,
}

/// Reads the settings and the files that they name, relative to the settings' own directory.
pub(crate) fn read(file: &Path) -> Result<ClientConfig, Fault> {
    let wrong = |why: String| Fault::Settings { path: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(Fault::io("read", file))?;
    let profile: Profile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let home = file.parent().unwrap_or(Path::new("."));
    let contents = |named: PathBuf| {
        let path = home.join(named);
        std::fs::read(&path).map_err(Fault::io("read", &path))
    };
    let token = profile.token_file.map(contents).transpose()?;
    let token = token.map(|bytes| Token::parse(String::from_utf8_lossy(&bytes).into_owned()));
    Ok(ClientConfig {
        ca_pem: profile.ca_file.map(contents).transpose()?,
        token: token.transpose().map_err(|error| wrong(error.to_string()))?,
        server_name: profile.server_name,
        ..ClientConfig::new(profile.addr)
    })
}
