//! Damaged snapshots are refused, with keys and without, before anything is touched.

use super::*;

/// Every page of a file.
const STEP: usize = 4096;

/// A set with a full snapshot and an increment, and an empty node to restore.
async fn set_of_two() -> Desk {
    let mut desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 60).await;
    desk.save(&[]);
    write(&client, "more", 20).await;
    let increment = desk.save(&["--incremental"]);
    assert_eq!(increment["snapshot"]["kind"], "increment", "{increment}");
    desk.lose_everything();
    desk.cluster.lay_out_node();
    desk
}

fn verified(desk: &Desk, with_keys: bool) -> (Option<i32>, String) {
    let (set, home) = (desk.set(), desk.cluster.home(1));
    let (seal, key) = (home.join("seal.json"), home.join("seal.key"));
    let mut arguments = vec!["snapshot", "verify", set.to_str().unwrap()];
    if with_keys {
        arguments.extend(["--seal-file", seal.to_str().unwrap(), "--seal-key-file", key.to_str().unwrap()]);
    }
    desk.exits("holdfast", &arguments)
}

/// Refused by everybody, and the node is as empty as before.
fn assert_refused(desk: &Desk, what: &str) {
    for with_keys in [false, true] {
        let (code, said) = verified(desk, with_keys);
        assert_eq!(code, Some(8), "{what}, keys {with_keys}: {said}");
    }
    let before = files(&desk.cluster.home(1).join("data"));
    let (code, said) = desk.exits("holdfastd", &refs(&desk.restore(1, &[])));
    assert_eq!(code, Some(1), "{what} was restored: {said}");
    assert_eq!(files(&desk.cluster.home(1).join("data")), before, "{what}: the node was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cut_and_every_flipped_page_of_every_file_is_refused_before_anything_is_touched() {
    let desk = set_of_two().await;
    for with_keys in [false, true] {
        let (code, said) = verified(&desk, with_keys);
        assert_eq!(code, Some(0), "{said}");
    }
    let mut tried = 0;
    for file in files(&desk.set()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let whole = std::fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(STEP) {
            std::fs::write(&file, &whole[..at]).unwrap();
            assert_refused(&desk, &format!("{name} cut at {at}"));
            let mut flipped = whole.clone();
            let byte = (at + (at / STEP * 97) % STEP).min(whole.len() - 1);
            flipped[byte] ^= 1 << (at / STEP % 8);
            std::fs::write(&file, &flipped).unwrap();
            assert_refused(&desk, &format!("{name} flipped at {byte}"));
            tried += 2;
        }
        std::fs::write(&file, &whole).unwrap();
    }
    println!("{tried} damages of {} files refused", files(&desk.set()).len());
    assert_eq!(verified(&desk, true).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_another_signer_is_refused() {
    let desk = set_of_two().await;
    let set = desk.set();
    let stranger = "00".repeat(31) + "01";
    let arguments = ["snapshot", "verify", set.to_str().unwrap(), "--signer", &stranger];
    let (code, said) = desk.exits("holdfast", &arguments);
    assert_eq!(code, Some(8));
    assert!(said.contains("is signed by"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_whose_full_snapshot_is_gone_is_no_way_back() {
    let desk = set_of_two().await;
    for file in files(&desk.set()) {
        if file.to_string_lossy().contains(".full") {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(verified(&desk, false).0, Some(8));
    let (code, said) = desk.exits("holdfastd", &refs(&desk.restore(1, &[])));
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no full snapshot"), "{said}");
}
