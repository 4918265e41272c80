//! Where the cluster is and who asks: the command line, then the environment, then the profile file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use proto_client::{Client, ClientConfig, Identity, Token};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    exit::Failure,
    output::{self, Format, Output},
};

const ADDRESS_DEFAULT: &str = "https://127.0.0.1:7100";

/// The flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Globals {
    /// Nodes of the cluster, separated by commas [default: https://127.0.0.1:7100].
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_ADDR",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(crate) addr: Vec<String>,

    /// Certificates (PEM) that the nodes' certificates must lead to.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_CA_FILE",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) ca_file: Option<PathBuf>,

    /// File that holds the token. Otherwise HOLDFAST_TOKEN, HOLDFAST_TOKEN_FILE, that of the last login, the profile's, or
    /// $XDG_STATE_HOME/holdfast/token. A token is never an argument.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) token_file: Option<PathBuf>,

    /// The client's own certificate (PEM), for `login --certificate`.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_CERT_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "key_file",
        help_heading = "Connection"
    )]
    pub(crate) cert_file: Option<PathBuf>,

    /// The key of that certificate (PEM).
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) key_file: Option<PathBuf>,

    /// TOML file with addr, ca_file, token_file, environment, as `holdfastd dev` writes it.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) profile_file: Option<PathBuf>,

    /// How long one call may take, with all its attempts.
    #[arg(long, global = true, env = "HOLDFAST_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "10s",
          value_parser = output::time::parse_duration, help_heading = "Connection")]
    pub(crate) timeout: Option<Duration>,

    /// The environment: development, staging, production …
    #[arg(
        short = 'e',
        long = "env",
        global = true,
        env = "HOLDFAST_ENV",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub(crate) environment: Option<String>,

    /// Form of the answer; a table on a terminal.
    #[arg(
        short,
        long,
        global = true,
        env = "HOLDFAST_OUTPUT",
        hide_env_values = true,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(crate) output: Option<Format>,

    /// Say nothing but the answer.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// No colors.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) no_color: bool,

    /// Do not ask before what cannot be undone.
    #[arg(long, global = true, env = "HOLDFAST_YES", hide_env_values = true,
          value_parser = clap::builder::FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) yes: bool,
}

/// What `holdfastd dev` and `holdfastd kit` write. Paths are relative to the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(default)]
    addr: Vec<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    environment: Option<String>,
    /// The name in the nodes' certificates, where it is not the host of the address.
    server_name: Option<String>,
}

/// Everything a command needs besides its own arguments.
pub(crate) struct Session {
    pub(crate) out: Output,
    pub(crate) yes: bool,
    pub(crate) addresses: Vec<String>,
    environment: Option<String>,
    ca_file: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    /// The name in the nodes' certificates, where it is not the host of the address.
    pub(crate) server_name: Option<String>,
    token: Option<Token>,
    /// Where the token of a login to this cluster is kept.
    login_file: Option<PathBuf>,
    /// The variable that counts before what a login keeps, where one is set.
    pub(crate) token_variable: Option<&'static str>,
    /// How long one call may take.
    pub(crate) timeout: Duration,
}

/// How long one call may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Variables that give a token, the first that is set before the next, and both before what a login keeps.
const TOKEN_VARIABLES: [&str; 2] = ["HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE"];

/// Reads a variable of the environment; a test gives its own.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Session {
    /// Puts the settings together. Opens no connection.
    pub(crate) fn new(globals: Globals, variables: Variables<'_>) -> Result<Session, Failure> {
        let out = Output::new(globals.output, globals.quiet);
        let profile = profile(globals.profile_file.as_deref(), variables)?;
        let default = || vec![ADDRESS_DEFAULT.to_owned()];
        let chosen = [globals.addr, profile.addr].into_iter().find(|addresses| !addresses.is_empty());
        let addresses = chosen.unwrap_or_else(default);
        let login_file = login_file(&addresses, variables);
        let files = [login_file.as_deref().filter(|file| file.is_file()), profile.token_file.as_deref()];
        let token = token(globals.token_file.as_deref(), files.into_iter().flatten().next(), variables, &out)?;
        Ok(Session {
            out,
            yes: globals.yes,
            addresses,
            environment: globals.environment.or(profile.environment),
            ca_file: globals.ca_file.or(profile.ca_file),
            certificate: globals.cert_file.zip(globals.key_file),
            server_name: profile.server_name,
            token,
            login_file,
            token_variable: TOKEN_VARIABLES.into_iter().find(|name| variables(name).is_some_and(|text| !text.is_empty())),
            timeout: globals.timeout.unwrap_or(TIMEOUT),
        })
    }

    /// For commands that need no settings of a cluster: only how to print counts, and how long to wait.
    pub(crate) fn offline(globals: &Globals) -> Session {
        Session {
            out: Output::new(globals.output, globals.quiet),
            yes: globals.yes,
            addresses: Vec::new(),
            environment: None,
            ca_file: None,
            certificate: None,
            server_name: None,
            token: None,
            login_file: None,
            token_variable: None,
            timeout: globals.timeout.unwrap_or(TIMEOUT),
        }
    }

    /// A client for the cluster.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        self.client_of(&self.addresses).await
    }

    /// A client of other nodes than the settings name, with everything else as they say.
    pub(crate) async fn client_of(&self, addresses: &[String]) -> Result<Client, Failure> {
        let mut config = ClientConfig::new(addresses.iter().cloned());
        config.token.clone_from(&self.token);
        config.timeout = self.timeout;
        config.server_name.clone_from(&self.server_name);
        config.ca_pem = self.authority()?;
        if let Some((certificate, key)) = &self.certificate {
            let read =
                |path: &Path| std::fs::read(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error));
            config.identity = Some(Identity { certificate_pem: read(certificate)?, key_pem: Zeroizing::new(read(key)?) });
        }
        Ok(Client::connect(config).await?)
    }

    /// Whom the settings trust, as PEM.
    pub(crate) fn authority(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = std::fs::read(path);
        pem.map(Some).map_err(|error| Failure::io(format!("cannot read the CA file {}", path.display()), &error))
    }

    /// Keeps the token of a login to this cluster, instead of the one before; where it is kept.
    pub(crate) fn keep_login(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = self.login_file.clone().ok_or_else(|| {
            let why = "neither XDG_STATE_HOME nor HOME is set";
            Failure::usage("there is no place to keep the token", why, "give --out FILE, or -o raw to have it printed")
        })?;
        let failed = |error: std::io::Error| Failure::io(format!("cannot keep the token in {}", path.display()), &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Written aside and moved: who reads meanwhile has the old one or the new one, and nobody else reads either.
        let aside = path.with_extension(format!("new-{}", std::process::id()));
        write_private(&aside, text).and_then(|()| std::fs::rename(&aside, &path)).map_err(failed)?;
        Ok(path)
    }

    /// The token of the last login to this cluster, and where it is kept.
    pub(crate) fn kept_login(&self) -> Result<(PathBuf, Token), Failure> {
        let kept = self.login_file.clone().filter(|path| path.is_file());
        let path = kept.ok_or_else(|| {
            Failure::usage("nobody is logged in", "no token of a login to this cluster is kept", "`holdfast login` keeps one")
        })?;
        let token = read_token(&path, &self.out)?;
        Ok((path, token))
    }

    /// The environment that the command is about.
    pub(crate) fn environment(&self) -> Result<String, Failure> {
        self.environment.clone().ok_or_else(|| {
            Failure::usage(
                "no environment is named",
                "a secret belongs to one environment",
                "give -e NAME, or set HOLDFAST_ENV; `holdfast env list` shows them",
            )
        })
    }
}

fn profile(given: Option<&Path>, variables: Variables<'_>) -> Result<Profile, Failure> {
    let found = match given {
        Some(path) => Some(path.to_owned()),
        None => home(variables, "XDG_CONFIG_HOME", ".config").map(|home| home.join("client.toml")).filter(|path| path.is_file()),
    };
    let Some(path) = found else { return Ok(Profile::default()) };
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| Failure::io(format!("cannot read the profile {}", path.display()), &error))?;
    let mut profile: Profile = toml::from_str(&text).map_err(|error| {
        let known = "it may hold addr, ca_file, token_file, environment, server_name";
        Failure::usage(format!("cannot use the profile {}", path.display()), error.message().to_owned(), known)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    profile.ca_file = profile.ca_file.map(|file| folder.join(file));
    profile.token_file = profile.token_file.map(|file| folder.join(file));
    Ok(profile)
}

/// `$XDG_…_HOME/holdfast`, or below the home directory where it is not set.
fn home(variables: Variables<'_>, name: &str, below_home: &str) -> Option<PathBuf> {
    let set = variables(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = set.or_else(|| variables("HOME").map(|home| Path::new(&home).join(below_home)))?;
    Some(base.join("holdfast"))
}

/// Where the token of a login to the cluster at these addresses is kept: what was given by one cluster is never shown to another.
fn login_file(addresses: &[String], variables: Variables<'_>) -> Option<PathBuf> {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() || sign == '.' { sign } else { '_' };
    let mut names: Vec<String> = addresses
        .iter()
        .map(|address| address.trim_start_matches("https://").trim_end_matches('/').chars().map(plain).collect())
        .collect();
    names.sort();
    let mut name = names.join("+");
    name.truncate(200);
    home(variables, "XDG_STATE_HOME", ".local/state").map(|home| home.join("logins").join(name))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn token(
    flag: Option<&Path>,
    of_profile: Option<&Path>,
    variables: Variables<'_>,
    out: &Output,
) -> Result<Option<Token>, Failure> {
    if let Some(path) = flag {
        return read_token(path, out).map(Some);
    }
    if let Some(text) = variables("HOLDFAST_TOKEN").filter(|text| !text.is_empty()) {
        return Ok(Some(Token::parse(text)?));
    }
    if let Some(path) = variables("HOLDFAST_TOKEN_FILE").filter(|path| !path.is_empty()) {
        return read_token(Path::new(&path), out).map(Some);
    }
    if let Some(path) = of_profile {
        return read_token(path, out).map(Some);
    }
    let kept = home(variables, "XDG_STATE_HOME", ".local/state").map(|home| home.join("token"));
    kept.filter(|path| path.is_file()).map(|path| read_token(&path, out)).transpose()
}

fn read_token(path: &Path, out: &Output) -> Result<Token, Failure> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::io(format!("cannot read the token file {}", path.display()), &error))?;
    if is_open_to_others(path) {
        out.warn(&format!("{0} can be read by others: chmod 600 {0}", path.display()));
    }
    Ok(Token::parse(text.as_str())?)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(globals: Globals, variables: &[(&str, &str)]) -> Result<Session, Failure> {
        let known: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Session::new(globals, &move |name| known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_flag_wins_over_the_profile_and_the_profile_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let profile =
            write(&folder, "client.toml", "addr = ['https://a:1', 'https://b:1']\nenvironment = 'staging'\nca_file = 'ca.pem'");
        let from_profile = session(Globals { profile_file: Some(profile.clone()), ..Globals::default() }, &[]).unwrap();
        assert_eq!(from_profile.addresses, ["https://a:1", "https://b:1"]);
        assert_eq!(from_profile.environment().unwrap(), "staging");
        assert_eq!(from_profile.ca_file, Some(folder.path().join("ca.pem")));

        let globals = Globals { profile_file: Some(profile), addr: vec!["https://c:1".into()], ..Globals::default() };
        assert_eq!(session(globals, &[]).unwrap().addresses, ["https://c:1"]);
        let plain = session(Globals::default(), &[]).unwrap();
        assert_eq!(plain.addresses, [ADDRESS_DEFAULT]);
        assert!(plain.environment().is_err());
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let profile = write(&folder, "client.toml", "adress = ['https://a:1']");
        let failure = session(Globals { profile_file: Some(profile), ..Globals::default() }, &[]).err().unwrap();
        assert!(failure.to_string().contains("adress"), "{failure}");
    }

    #[test]
    fn the_token_comes_from_the_nearest_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("holdfast")).unwrap();
        write(&folder, "holdfast/token", "hf_kept\n");
        let flag = write(&folder, "flag", "hf_flag");
        let state = ("XDG_STATE_HOME", folder.path().to_str().unwrap());
        let text = |globals: Globals, variables: &[(&str, &str)]| {
            session(globals, variables).unwrap().token.map(|token| token.expose().to_owned())
        };
        let with_flag = Globals { token_file: Some(flag.clone()), ..Globals::default() };
        assert_eq!(text(with_flag, &[("HOLDFAST_TOKEN", "hf_variable")]).as_deref(), Some("hf_flag"));
        assert_eq!(text(Globals::default(), &[state, ("HOLDFAST_TOKEN", "hf_variable")]).as_deref(), Some("hf_variable"));
        let file = ("HOLDFAST_TOKEN_FILE", flag.to_str().unwrap());
        assert_eq!(text(Globals::default(), &[state, file]).as_deref(), Some("hf_flag"));
        assert_eq!(text(Globals::default(), &[state]).as_deref(), Some("hf_kept"));
        assert_eq!(text(Globals::default(), &[]), None);
        let shadow = |variables: &[(&str, &str)]| session(Globals::default(), variables).unwrap().token_variable;
        assert_eq!(shadow(&[state, file]), Some("HOLDFAST_TOKEN_FILE"), "a login would be kept and not used");
        assert_eq!(shadow(&[state, ("HOLDFAST_TOKEN", "")]), None);
    }
}
