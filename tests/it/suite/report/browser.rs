//! Reports in a real browser: they draw all their plots and say nothing on the console.

use super::{ingested, matrix, word};
use crate::skip::{Need, skip};
use crate::tool::expect;
use std::path::Path;
use std::process::Command;

/// The browser, under the names that it has.
fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

/// The page as the browser has it when its scripts have run, and what it said meanwhile.
fn shown(browser: &str, page: &Path, profile: &Path) -> (String, String) {
    let output = Command::new("timeout")
        .args(["120", browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_browser_draws_every_plot() {
    let Some(browser) = browser() else { return skip(Need::Program("chromium"), "no browser") };
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = matrix(dir.path());
    let hostile = "7 1700000000.000000 openat(AT_FDCWD, \"/tmp/</script><img src=x onerror=alert(1)>\", O_RDWR|O_CREAT, 0644) = 3 \
                   <0.000010>\n7 1700000001.000000 write(3, \"\"..., 4096) = 4096 <0.000020>\n";
    for (name, dataset) in
        [("whole", place.clone()), ("workload", place.join("workload")), ("hostile", ingested(dir.path(), hostile))]
    {
        let page = dir.path().join(format!("{name}.html"));
        expect(0, &["report", word(&dataset), "-o", word(&page)]);
        let (dom, said) = shown(browser, &page, &dir.path().join("profile"));
        let number = |key: &str| -> usize {
            let rest = dom.split_once(&format!("{key}=\"")).unwrap_or_else(|| panic!("{name}: no {key}\n{said}")).1;
            rest.split('"').next().unwrap().parse().unwrap()
        };
        assert!(number("data-plots") >= 5, "{name}");
        assert_eq!(number("data-failed"), 0, "{name}\n{said}");
        // Each plot has a canvas that uPlot has made; heat maps of several files have one each.
        let body = dom.split_once("<main>").unwrap().1;
        assert!(body.matches("<canvas").count() >= number("data-plots"), "{name}");
        assert!(!said.contains("CONSOLE"), "{name}: {said}");
        assert!(!body.contains("<img"), "{name}");
    }
}
