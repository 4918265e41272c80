//! One bit flipped in every 4 KiB of each file of a stopped node, file by file: harmless, repaired, or refused in words.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECTOR: usize = 4096;
/// How long a damaged node may take to come up or to end.
const VERDICT: Duration = Duration::from_secs(90);

fn every_file(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_file(&path, found);
        } else if std::fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// What a node keeps: its data, its seal and its certificates.
fn files_of(cluster: &ProcessCluster, node: usize) -> Vec<PathBuf> {
    let mut files = Vec::new();
    every_file(&cluster.home(node), &mut files);
    files.retain(|path| !path.ends_with("data/lock"));
    files.sort();
    files
}

/// Which files are damaged: all where `HOLDFAST_FLIP_ALL` is set, otherwise one of each directory, chosen by `chance`.
fn chosen(files: Vec<PathBuf>, chance: &mut ChaCha8Rng) -> Vec<PathBuf> {
    if std::env::var_os("HOLDFAST_FLIP_ALL").is_some() {
        return files;
    }
    let mut by_directory = std::collections::BTreeMap::<PathBuf, Vec<PathBuf>>::new();
    for file in files {
        by_directory.entry(file.parent().unwrap().to_owned()).or_default().push(file);
    }
    by_directory.into_values().map(|mut files| files.remove(chance.random_range(0..files.len()))).collect()
}

/// Whether the node came up, or ended with words.
async fn verdict(cluster: &mut ProcessCluster, node: usize) -> bool {
    let client = cluster.client(Some(node)).await.with_timeout(Duration::from_secs(2));
    let deadline = Instant::now() + VERDICT;
    loop {
        if cluster.ended().contains(&node) {
            return false;
        }
        if client.cluster().status(v1::StatusRequest {}).await.is_ok_and(|status| status.leader_id != 0) {
            return true;
        }
        let late = Instant::now() >= deadline;
        assert!(!late, "node {} neither came up nor ended within {VERDICT:?}: {}", node + 1, cluster.log_tails());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bits_flipped_in_every_file_of_one_node_never_make_a_wrong_answer() {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (HOLDFAST_TEST_SEED replays the places)");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..150).await;
    snapshot_all(&cluster).await;
    put_all(&client, 150..180).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.signal(victim, libc::SIGTERM);
    cluster.wait_ended(victim, PATIENCE);
    let (mut up, mut refused, mut number) = (0, 0, 180);
    for file in chosen(files_of(&cluster, victim), &mut chance) {
        let Ok(whole) = std::fs::read(&file) else { continue };
        let name = file.strip_prefix(cluster.home(victim)).unwrap().display().to_string();
        let places = (0..whole.len()).step_by(SECTOR).map(|start| chance.random_range(start..(start + SECTOR).min(whole.len())));
        flip(&file, places.collect::<Vec<_>>());
        let said = std::fs::metadata(cluster.log(victim)).map_or(0, |log| log.len()) as usize;
        cluster.start(victim);
        let came_up = verdict(&mut cluster, victim).await;
        put_all(&client, number..number + 2).await;
        number += 2;
        if came_up {
            let back = cluster.client(Some(victim)).await;
            every_value_is_right(&back, 0..number).await;
            up += 1;
            cluster.signal(victim, libc::SIGTERM);
            cluster.wait_ended(victim, PATIENCE);
        } else {
            let log = std::fs::read(cluster.log(victim)).unwrap();
            let words = String::from_utf8_lossy(&log[said..]).into_owned();
            assert!(words.contains("error: ") || words.contains("ERROR"), "{name}: it ended without words: {words}");
            assert!(!words.contains("panicked"), "{name}: {words}");
            refused += 1;
            // Refused means untouched: with the file as it was, the node starts.
            std::fs::write(&file, &whole).unwrap();
        }
        println!("{name}: {}", if came_up { "came up" } else { "refused" });
    }
    println!("flipped bits: {up} files harmless or repaired, {refused} refused in words, 0 wrong answers");
    assert!(up > 0 && refused > 0);
    cluster.start(victim);
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(victim)).await, 0..number).await;
    every_journal_is_whole(&cluster).await;
}
