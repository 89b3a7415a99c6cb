//! Several machines do what one does.

use super::processes::{LIMIT, Server, Shared, outcomes, summary, within};
use crate::tool::rows;
use serde_json::Value;

/// Checks a summary of a replay that is good, by so many machines.
pub fn good(shared: &Shared, said: &Value, machines: usize) {
    let ops = shared.work.ops.len() as u64;
    assert_eq!(
        (&said["complete"], &said["same"], &said["different"], &said["violations"]),
        (&true.into(), &ops.into(), &0.into(), &0.into())
    );
    let all = said["machines"].as_array().unwrap();
    assert_eq!(all.len(), machines);
    assert!(all.iter().all(|machine| machine["ops"].as_u64().unwrap() > 0), "{said}");
    let tree: Vec<_> = all.iter().filter_map(|machine| machine["tree"].as_object()).collect();
    assert!(tree.len() == 1 && tree[0].keys().eq(["same"]), "{said}");
    if machines > 1 {
        assert!(said["remote_edges"].as_u64().unwrap() > 0 && all.iter().any(|machine| machine["remote"].as_i64().unwrap() > 0));
    }
}

#[test]
fn several_machines_do_what_one_does() {
    let shared = Shared::new(60, 12);
    let alone = shared.alone();
    let servers = shared.servers(4);
    for count in [1, 2, 4] {
        let on: Vec<&str> = servers[..count].iter().map(|server| server.at.as_str()).collect();
        let out = format!("on{count}");
        let said = summary(&within(LIMIT, shared.replay(&on, &out, &[])), 0);
        good(&shared, &said, count);
        let runs = shared.runs(&out);
        assert_eq!(runs.len(), count);
        assert_eq!(outcomes(&runs), alone, "{count} machines");
        shared.nothing_left();
        shared.init();
    }
    // They are one fleet of runs: by host, which is where each was reached.
    let fleet = shared.work.place("on4");
    let hosts = rows(&[&fleet], "SELECT dataset, count(*) FROM results GROUP BY 1 ORDER BY 1");
    assert_eq!(hosts.len(), 4, "{hosts:?}");
}

/// The offset that was measured is the one that the clock has, and changes nothing.
#[test]
fn clocks_that_go_wrong_are_measured_and_do_no_harm() {
    let shared = Shared::new(40, 8);
    let ahead = 5_000_000_000_i64;
    let server = |ahead: i64, gains: &str| {
        let ahead = ahead.to_string();
        Server::start(shared.server(&["--clock-ahead", &ahead, "--clock-gains", gains])).unwrap()
    };
    let servers = [server(0, "0"), server(ahead, "0"), server(-ahead, "1000")];
    let on: Vec<&str> = servers.iter().map(|server| server.at.as_str()).collect();
    let said = summary(&within(LIMIT, shared.replay(&on, "run", &["--delay", "5"])), 0);
    good(&shared, &said, 3);
    let clock = |machine: usize, when: &str| -> [i64; 2] {
        ["ns", "error"].map(|key| said["machines"][machine][when][key].as_i64().unwrap())
    };
    for (machine, ahead) in [(0, 0), (1, ahead)] {
        for when in ["clock", "clock_end"] {
            let [ns, error] = clock(machine, when);
            assert!((ns - ahead).abs() <= error && error < 1_000_000_000, "machine {machine}, {when}: {ns} {error}");
        }
    }
    // This one gains a thousandth; between both looks that is more than the error of a look on this machine.
    let ([before, one], [after, two]) = (clock(2, "clock"), clock(2, "clock_end"));
    let gained = after - before;
    assert!(gained > 0 - one - two && before > -ahead - one, "{before} {after}");
    let wall = said["wall"].as_i64().unwrap();
    assert!((gained - wall / 1000).abs() <= one + two + 1_000_000, "{gained} of {wall}, errors {one} {two}");
    // What the manifest of a run says is the same.
    let manifest = std::fs::read_to_string(shared.runs("run")[0].join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert!(manifest["clock"]["before"]["ns"].is_i64() && manifest["clock"]["after"]["error"].is_i64(), "{}", manifest["clock"]);
}
