//! The tree of commands.

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        alert, audit, cert_role, cluster, drill, environment, export, import, issuer, key, login, machine, operator, policy,
        program, promote, role, rule, secret, snapshot, token, unwrap, user, watch, wrap,
    },
    exit::{self, Failure},
    settings::{Globals, Session},
};

const EXAMPLES: &str = "\
Examples:
  holdfast env create production
  holdfast secret put db/password - -e production
  holdfast secret put api/key --generate 40 -e staging
  holdfast secret get db/password -e production --reveal
  holdfast import .env -e development --prefix app/
  holdfast audit verify --all-nodes

A value is read from standard input (-), a file (@FILE) or a prompt, never from the command line.
`holdfast help exit-codes` lists the exit codes.";

/// Secrets, with a journal that proves who read them.
#[derive(Parser)]
#[command(name = "holdfast", version, after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The nouns, and the verbs that need none.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write, read, compare and remove secrets.
    #[command(subcommand, visible_alias = "secrets")]
    Secret(secret::Command),
    /// Environments, each with its own keys and its own store.
    #[command(subcommand, name = "env")]
    Environment(environment::Command),
    /// Bring in many secrets from a dotenv, JSON or YAML document.
    Import(import::Import),
    /// Write many secrets to a dotenv, JSON or YAML document.
    Export(export::Export),
    /// Show changes as they happen, without values.
    Watch(watch::Watch),
    /// Tokens: who is calling.
    #[command(subcommand)]
    Token(token::Command),
    /// Log in, and keep the token that it leads to.
    Login(login::Login),
    /// End the token of the last login.
    Logout(login::Logout),
    /// Wrap something of your own for hand-over: it opens once.
    Wrap(wrap::Wrap),
    /// Open what was wrapped for hand-over.
    Unwrap(unwrap::Unwrap),
    /// Users: people who log in with a password.
    #[command(subcommand)]
    User(user::Command),
    /// Machines: programs that log in with a role id and a secret id.
    #[command(subcommand)]
    Machine(machine::Command),
    /// Which client certificates log in.
    #[command(subcommand)]
    CertRole(cert_role::Command),
    /// Whose signed tokens (JWT) log in.
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// Policies: who may do what, where.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Roles: policies under one name, for tokens to carry.
    #[command(subcommand)]
    Role(role::Command),
    /// The journal: search it, follow it, prove it.
    #[command(subcommand)]
    Audit(audit::Command),
    /// The cluster and its members.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Snapshots for disaster recovery: make them, check them, list them.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Bring the cluster back from its snapshots beside it, and see whether all is there.
    Drill(drill::Drill),
    /// Alerts: what somebody should look at, and where it is sent.
    #[command(subcommand)]
    Alert(alert::Command),
    /// Carry values from one environment to another, by a plan that others approve.
    #[command(subcommand)]
    Promote(promote::Command),
    /// Rules for values: what may come in.
    #[command(subcommand)]
    Rule(rule::Command),
    /// Keys of environments and of the system.
    #[command(subcommand)]
    Key(key::Command),
    /// The seal: keys of a new cluster, unsealing, new shares, a new root key.
    #[command(subcommand)]
    Operator(operator::Command),
    /// Print the completion script of a shell.
    Completion(program::Completion),
    /// Write the manual pages to a folder.
    Man(program::Man),
    /// Print the version.
    Version,
    /// What the exit code of a command means.
    #[command(name = "exit-codes", long_about = exit::TABLE)]
    ExitCodes,
}

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let session = match &cli.command {
        // These need no settings, and work where a profile is broken: a ticket says itself where its cluster is.
        Command::Completion(_)
        | Command::Man(_)
        | Command::Version
        | Command::ExitCodes
        | Command::Cluster(cluster::Command::Join(_)) => Session::offline(&cli.globals),
        _ => Session::new(cli.globals, &|name| std::env::var(name).ok())?,
    };
    match cli.command {
        Command::Secret(command) => command.run(&session).await,
        Command::Environment(command) => command.run(&session).await,
        Command::Import(command) => command.run(&session).await,
        Command::Export(command) => command.run(&session).await,
        Command::Watch(command) => command.run(&session).await,
        Command::Token(command) => command.run(&session).await,
        Command::Login(command) => command.run(&session).await,
        Command::Logout(command) => command.run(&session).await,
        Command::Wrap(command) => command.run(&session).await,
        Command::Unwrap(command) => command.run(&session).await,
        Command::User(command) => command.run(&session).await,
        Command::Machine(command) => command.run(&session).await,
        Command::CertRole(command) => command.run(&session).await,
        Command::Issuer(command) => command.run(&session).await,
        Command::Policy(command) => command.run(&session).await,
        Command::Role(command) => command.run(&session).await,
        Command::Audit(command) => command.run(&session).await,
        Command::Cluster(command) => command.run(&session).await,
        Command::Snapshot(command) => command.run(&session).await,
        Command::Drill(command) => command.run(&session).await,
        Command::Alert(command) => command.run(&session).await,
        Command::Promote(command) => command.run(&session).await,
        Command::Rule(command) => command.run(&session).await,
        Command::Key(command) => command.run(&session).await,
        Command::Operator(command) => command.run(&session).await,
        Command::Completion(command) => command.run(&session),
        Command::Man(command) => command.run(&session),
        Command::Version => program::version(&session),
        Command::ExitCodes => session.out.text(&format!("{}\n", exit::TABLE)),
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
