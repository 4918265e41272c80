//! Logging in as people do it, with the program.

use super::*;
use cluster_tests::processes::binary;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Desk {
    world: World,
}

impl Desk {
    fn holdfast(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("holdfast"));
        command.args(arguments).env_remove("HOLDFAST_TOKEN").stdin(Stdio::null());
        command
            .env("HOLDFAST_CONFIG", self.world.cluster.kit().join("client.toml"))
            .env("XDG_STATE_HOME", self.world.directory.path());
        command.output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.holdfast(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.world.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_is_made_a_user_logs_in_is_refused_what_he_may_not_and_logs_out() {
    let desk = Desk { world: world(&[]).await };
    let password = desk.file("password", "correct horse battery\n");
    desk.says(&[
        "user",
        "create",
        "ana",
        "--policy",
        "developer",
        "--ttl",
        "1h",
        "--max-ttl",
        "2h",
        "--password-file",
        &password,
    ]);
    let shown = desk.says(&["user", "totp", "enrol", "ana"]);
    assert!(shown.contains('█') && shown.contains("otpauth://"), "{shown}");
    // What was not confirmed gives way to another.
    let enrolled: serde_json::Value = serde_json::from_str(&desk.says(&["user", "totp", "enrol", "ana", "-o", "json"])).unwrap();
    let uri = enrolled["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/"), "{uri}");
    assert_eq!(enrolled["recovery_codes"].as_array().unwrap().len(), 10);
    desk.says(&["user", "totp", "confirm", "ana", &totp(uri, 0)]);
    assert_eq!(desk.holdfast(&["login", "ana", "--password-file", &password]).status.code(), Some(5), "without a code");
    let said = desk.says(&["login", "ana", "--password-file", &password, "--code", &totp(uri, 30)]);
    let kept = said.trim().rsplit(' ').next().unwrap();
    assert_eq!(std::fs::metadata(Path::new(kept)).unwrap().permissions().mode() & 0o777, 0o600, "{said}");
    let me = desk.says(&["token", "lookup", "-o", "json"]);
    assert!(me.contains("\"ana\"") && me.contains("\"mfa\": true"), "the login is used from now on: {me}");
    let value = desk.file("value", "hello");
    desk.says(&["secret", "put", "app/greeting", &format!("@{value}"), "-e", "development"]);
    assert_eq!(desk.holdfast(&["secret", "put", "app/x", &format!("@{value}"), "-e", "production"]).status.code(), Some(4));
    assert_eq!(desk.holdfast(&["user", "list"]).status.code(), Some(4));
    desk.says(&["token", "renew"]);
    let wrapped = desk.says(&["secret", "get", "app/greeting", "-e", "development", "--wrap-ttl", "5m", "-o", "raw"]);
    desk.says(&["logout"]);
    assert!(!Path::new(kept).exists());
    assert!(desk.says(&["token", "lookup", "-o", "json"]).contains("\"root\""), "the profile's own token again");

    let handed = desk.file("handed", &wrapped);
    assert!(desk.says(&["unwrap", "--lookup", &format!("@{handed}")]).contains("secret development:app/greeting"));
    assert_eq!(desk.says(&["unwrap", &format!("@{handed}"), "-o", "raw"]), "hello");
    let second = desk.holdfast(&["unwrap", &wrapped]);
    assert_eq!(second.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&second.stderr).contains("intercepted"));
    let made = desk.says(&["token", "create", "ci", "--policy", "developer", "--uses", "1", "--wrap-ttl", "5m", "-o", "raw"]);
    let text = desk.says(&["unwrap", &made, "-o", "raw"]);
    let token = desk.file("token", &text);
    assert!(desk.says(&["--token-file", &token, "token", "lookup", "-o", "json"]).contains("\"uses_left\": 0"));
    assert_eq!(desk.holdfast(&["--token-file", &token, "token", "lookup"]).status.code(), Some(5), "its one use is gone");
}
