//! Datasets in object stores and behind web servers: against an S3 server (moto) and a web server of this machine.

#[cfg(feature = "s3")]
mod copy;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "s3")]
mod read;
#[cfg(feature = "s3")]
mod server;

/// Who has a build without stores is told what to build.
#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_stores_names_the_feature() {
    let commands = [
        &["query", "s3://bucket/cap", "SELECT 1"][..],
        &["query", "https://host/cap", "SELECT 1"],
        &["report", "gs://bucket/run"],
        &["compare", "az://bucket/run", "s3://bucket/run"],
        &["generate", "s3://bucket/cap", "-o", "work"],
        &["replay", "s3://bucket/work", "-o", "run", "--root", "root"],
        &["init", "s3://bucket/work", "--root", "root"],
    ];
    for command in commands {
        let refused = crate::tool::ioriot(command);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("--features s3"), "{command:?}: {said}");
    }
}

/// A `file://` URL names a local dataset, also by a pattern, which no shell expands there.
#[test]
fn file_urls_are_local_datasets() {
    use crate::tool::{data, expect, ioriot};
    let dir = tempfile::tempdir().unwrap();
    let fleet = dir.path().join("fleet x");
    expect(0, &["ingest", &data("matrix.strace"), &data("e-fio.strace.gz"), "-o", fleet.to_str().unwrap()]);
    let count = "SELECT count(DISTINCT dataset) FROM events";
    for (url, hosts) in [("fleet%20x", "2"), ("fleet%20x/host=*", "2")] {
        let url = format!("file://{}/{url}", dir.path().display());
        assert_eq!(expect(0, &["query", &url, count, "--format", "csv"]).lines().nth(1), Some(hosts), "{url}");
    }
    let work = dir.path().join("work");
    let one = format!("file://{}/fleet%20x/host=ma*", dir.path().display());
    expect(0, &["generate", &one, "-o", work.to_str().unwrap()]);
    // A URL is no path of an output.
    let at = |url: &str| format!("{url}{}", dir.path().join("out").display());
    let [input, made] = [work.to_str().unwrap(), data("matrix.strace").as_str()].map(str::to_owned);
    let [file, s3] = [at("file://"), "s3://bucket/x".to_owned()];
    for (verb, url) in [("generate", &file), ("init", &file), ("init", &s3), ("ingest", &file), ("reduce", &file)] {
        let args = match verb {
            "generate" => vec!["generate", &one, "-o", url],
            "init" => vec!["init", &input, "--root", url],
            "ingest" => vec!["ingest", &made, "-o", url],
            _ => vec!["reduce", &input, "--while", "true", "-o", url],
        };
        let refused = crate::tool::command(&args).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains("is a URL"), "{args:?}: {said}");
        assert!(!dir.path().join("file:").exists() && !dir.path().join("s3:").exists(), "{args:?}");
    }
    let none = ioriot(&["query", &format!("file://{}/none*", dir.path().display()), "SELECT 1"]);
    assert!(none.status.code() == Some(2) && String::from_utf8_lossy(&none.stderr).contains("nothing matches"));
}
