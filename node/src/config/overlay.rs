//! Laying variables and flags over the settings of a file.
//!
//! `HOLDFAST_LISTEN_CLIENT` and `--set listen.client=…` mean the key `client` of the table `listen`.

use super::{
    AdvertiseConfig, BackupConfig, Config, ConfigError, KeysConfig, LimitsConfig, ListenConfig, LogConfig, LoginConfig,
    NodeConfig, ReplicationConfig, ScrubConfig, SealConfig, StorageConfig, TlsConfig,
};
use toml::{Table, Value};

const PREFIX: &str = "HOLDFAST_";

/// Lays over what variables say. A variable of a table that does not exist is somebody else's (`HOLDFAST_ADDR` is the client's).
pub(super) fn environment(table: &mut Table, variables: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
    let known = every_key();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        let Some((section, key)) = rest.split_once('_') else { continue };
        if !known.contains_key(section) {
            continue;
        }
        set(table, &known, section, key, &value).map_err(|cause| ConfigError::Overlay { origin: name, cause })?;
    }
    Ok(())
}

/// Lays over what flags say: `table.key=value`.
pub(super) fn flags(table: &mut Table, flags: &[String]) -> Result<(), ConfigError> {
    let known = every_key();
    for flag in flags {
        let wrong = |cause: String| ConfigError::Overlay { origin: format!("--set {flag}"), cause };
        let (name, value) = flag.split_once('=').ok_or_else(|| wrong("use table.key=value".into()))?;
        let (section, key) = name.split_once('.').ok_or_else(|| wrong("use table.key=value".into()))?;
        set(table, &known, section, key, value).map_err(wrong)?;
    }
    Ok(())
}

fn set(table: &mut Table, known: &Table, section: &str, key: &str, text: &str) -> Result<(), String> {
    let keys = known.get(section).and_then(Value::as_table).ok_or_else(|| {
        let sections: Vec<_> = known.keys().map(String::as_str).collect();
        format!("there is no table {section}; tables are {}", sections.join(", "))
    })?;
    let kind = keys.get(key).ok_or_else(|| {
        let keys: Vec<_> = keys.keys().map(String::as_str).collect();
        format!("there is no key {section}.{key}; keys are {}", keys.join(", "))
    })?;
    let value = match kind {
        Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| format!("{section}.{key} is a whole number"))?),
        _ => Value::String(text.to_owned()),
    };
    let section = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
    Ok(())
}

/// A table with every key there is, to know names and types by.
fn every_key() -> Table {
    let text = String::new;
    let config = Config {
        node: NodeConfig { id: 0, zone: text(), data: text().into() },
        listen: ListenConfig { client: text(), peer: text(), health: Some(text()) },
        advertise: AdvertiseConfig { client: Some(text()), peer: Some(text()) },
        tls: TlsConfig {
            ca: text().into(),
            peer_certificate: text().into(),
            peer_key: text().into(),
            client_certificate: text().into(),
            client_key: text().into(),
            client_ca: Some(text().into()),
        },
        seal: SealConfig { file: text().into(), key_file: text().into(), kms_region: Some(text()), kms_endpoint: Some(text()) },
        log: LogConfig::default(),
        replication: ReplicationConfig::default(),
        storage: StorageConfig::default(),
        keys: KeysConfig::default(),
        limits: LimitsConfig::default(),
        login: LoginConfig::default(),
        backup: BackupConfig { to: Some(text()), ..BackupConfig::default() },
        scrub: ScrubConfig::default(),
    };
    Table::try_from(&config).expect("settings are plain tables, texts and numbers")
}
