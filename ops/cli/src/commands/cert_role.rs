//! `holdfast cert-role`.

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use super::grants;
use crate::{
    exit::{Doing, Failure},
    output::table,
    settings::Session,
};

/// Certificate roles.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say which client certificates log in, and what that gives. The nodes need `tls.client_ca`.
    #[command(after_help = "Examples:
  holdfast cert-role put ci --san-glob '*.ci.example.org' --policy deploy --ttl 20m
  holdfast cert-role put backup --cn backup.example.org --role backup")]
    Put {
        /// Its name; cert/NAME/… stands in the journal.
        name: String,
        /// A certificate fits when one of its alternative names fits: * stands for one label or part of it.
        #[arg(long = "san-glob", value_name = "NAME", value_delimiter = ',')]
        san_globs: Vec<String>,
        /// A certificate fits when its common name is this.
        #[arg(long = "cn", value_name = "NAME", value_delimiter = ',')]
        common_names: Vec<String>,
        #[command(flatten)]
        grants: grants::Given,
    },
    /// List certificate roles.
    #[command(after_help = "Examples:\n  holdfast cert-role list")]
    List,
    /// Delete a certificate role, and end the tokens of its logins.
    #[command(after_help = "Examples:\n  holdfast cert-role delete ci")]
    Delete {
        /// Its name.
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        match self {
            Command::Put { name, san_globs, common_names, grants } => {
                let role =
                    v1::CertRole { name: name.clone(), san_globs, common_names, grants: Some(grants.into()), updated_at_ms: 0 };
                let put = client.cert_roles().put(role).await.doing(|| format!("write certificate role {name}"))?;
                session.out.done(&document(&put), &format!("wrote certificate role {name}"))
            }
            Command::List => {
                let answer = client.cert_roles().list(v1::ListCertRolesRequest {}).await;
                let roles = answer.doing(|| "list the certificate roles".to_owned())?.roles;
                let documents: Vec<_> = roles.iter().map(document).collect();
                session.out.show(&json!({ "cert_roles": documents }), |out| {
                    let row = |role: &v1::CertRole| {
                        let names = grants::names(role.grants.as_ref());
                        [role.name.clone(), role.san_globs.join(","), role.common_names.join(","), names]
                    };
                    table::rows(out, &["ROLE", "NAMES", "COMMON NAMES", "MAY"], roles.iter().map(row))
                })
            }
            Command::Delete { name } => {
                let request = v1::CertRoleRequest { name: name.clone() };
                let done = client.cert_roles().delete(request).await.doing(|| format!("delete certificate role {name}"))?;
                session.out.done(&json!({ "name": name, "index": done.index }), &format!("deleted certificate role {name}"))
            }
        }
    }
}

fn document(role: &v1::CertRole) -> Value {
    json!({
        "name": role.name,
        "san_globs": role.san_globs,
        "common_names": role.common_names,
        "grants": grants::document(role.grants.as_ref()),
    })
}
