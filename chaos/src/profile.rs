//! How to talk to a cluster, from the settings file of the command line.

use std::path::{Path, PathBuf};

use proto_client::{ClientConfig, Token};
use serde::Deserialize;

use crate::trouble::Trouble;

/// What the file may say; more in it belongs to the command line.
#[derive(Deserialize)]
struct Profile {
    addr: Vec<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    server_name: Option<String>,
}

/// Reads the settings and the files that they name, relative to the settings' own directory. `HOLDFAST_TOKEN` stands in for a token
/// file.
pub(crate) fn read(file: &Path) -> Result<ClientConfig, Trouble> {
    let wrong = |why: String| Trouble::unusable(format!("settings {}", file.display()), why);
    let text = std::fs::read_to_string(file).map_err(Trouble::io("read", file))?;
    let profile: Profile = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
    let home = file.parent().unwrap_or(Path::new("."));
    let contents = |named: PathBuf| {
        let path = home.join(named);
        std::fs::read(&path).map_err(Trouble::io("read", &path))
    };
    let token = match profile.token_file {
        Some(path) => Some(String::from_utf8_lossy(&contents(path)?).into_owned()),
        None => std::env::var("HOLDFAST_TOKEN").ok(),
    };
    let token = token.ok_or_else(|| wrong("it names no token_file, and HOLDFAST_TOKEN is not set".into()))?;
    Ok(ClientConfig {
        ca_pem: profile.ca_file.map(contents).transpose()?,
        token: Some(Token::parse(token).map_err(|error| wrong(error.to_string()))?),
        server_name: profile.server_name,
        ..ClientConfig::new(profile.addr)
    })
}
