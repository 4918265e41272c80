//! `holdfast operator init`.

use proto_client::v1;
use serde_json::json;

use super::{Seal, Standing, nodes, secrets, standings};
use crate::{
    exit::{Doing, Exit, Failure},
    settings::Session,
};

pub(super) async fn init(session: &Session, seal: Seal) -> Result<(), Failure> {
    let nodes = nodes(session, None).await?;
    let Some(((first, client), others)) = nodes.split_first() else {
        return Err(Failure::usage("no node is known", "the settings name none", "give --addr for every node"));
    };
    check_uninitialized(&standings(&nodes).await)?;
    let passphrase = if seal.passphrase { secrets::ask_new_passphrase()? } else { Default::default() };
    let key_file = seal.key_file.as_deref().map(secrets::NewKeyFile::create).transpose()?;
    let request = v1::InitRequest {
        shares: seal.shares.unwrap_or(0),
        threshold: seal.threshold.unwrap_or(0),
        passphrase: String::clone(&passphrase),
        key_file: key_file.is_some(),
        kms: seal.kms.clone().unwrap_or_default(),
    };
    let made = client.seal().init(request).await.doing(|| format!("make the keys of the cluster on {first}"))?;
    if let Some(file) = key_file {
        file.write(&made.key_file)?;
    }
    // Shown before anything else can fail: it is in no other place.
    session.out.show(&json!({ "shares": made.shares, "root_token": made.root_token, "initialized": first }), |out| {
        for (at, share) in made.shares.iter().enumerate() {
            writeln!(out, "Share {}: {share}", at + 1)?;
        }
        writeln!(out, "Root token: {}", made.root_token)?;
        writeln!(out)?;
        if !made.shares.is_empty() {
            writeln!(out, "Give every share to another person. They are shown this once and are kept nowhere.")?;
        }
        match seal.kms {
            Some(_) => writeln!(out, "Every node unseals by itself. Next: holdfast operator status"),
            None => writeln!(out, "Next: holdfast operator unseal"),
        }
    })?;
    let request = v1::AdoptRequest { seal_file: made.seal_file };
    for (address, client) in others {
        let adopted = client.seal().adopt(request.clone()).await.doing(|| format!("hand the seal file to {address}"));
        if let Err(failure) = adopted {
            // Sealed, so it may lie about; and without it the other nodes could not join.
            let place = format!("holdfast-seal-{}.json", storage_crypto::hex::encode(&made.cluster_id));
            std::fs::write(&place, &request.seal_file)?;
            return Err(
                failure.next(format!("holdfast operator adopt {address} --file {place}, and the same for the nodes after it"))
            );
        }
    }
    Ok(())
}

/// Before any key is made: a node that is missing now would miss the seal file.
fn check_uninitialized(standings: &[Standing]) -> Result<(), Failure> {
    for (address, standing) in standings {
        let why = match standing {
            Ok(status) if status.phase == "uninitialized" => continue,
            Ok(status) => format!("{address} is {}", status.phase),
            Err(failure) => format!("{address}: {}", failure.why()),
        };
        let next = "start every node of a kit made with `holdfastd kit --seal none`, and begin again";
        return Err(Failure::new(Exit::Conflict, "no keys were made: every node must be there, and new", why).next(next));
    }
    Ok(())
}
