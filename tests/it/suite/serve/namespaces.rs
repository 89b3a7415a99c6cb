//! Machines as network namespaces with a bridge between them, certificates on both sides, one tree that all see. (They have one
//! kernel and one clock.)

use super::lost::under_way;
use super::machines::good;
use super::processes::{LIMIT, Server, Shared, finish, outcomes, summary, within};
use crate::skip::{Need, skip};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Runs a program that must succeed.
fn done(words: &str) -> Result<(), String> {
    let mut all = words.split_whitespace();
    let output = Command::new(all.next().unwrap()).args(all).output().map_err(|error| format!("{words}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{words}: {}", String::from_utf8_lossy(&output.stderr))) }
}

/// Network namespaces: one with a bridge, in which the coordinator is, and one for each machine.
struct Net {
    names: Vec<String>,
}

impl Net {
    fn make(machines: usize) -> Result<Net, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (pid, net_number) = (std::process::id(), MADE.fetch_add(1, SeqCst));
        let mut net = Net { names: Vec::new() };
        for number in 0..=machines {
            let name = format!("ioriot{pid}n{net_number}m{number}");
            done(&format!("ip netns add {name}"))?;
            net.names.push(name.clone());
            done(&format!("ip -n {name} link set lo up"))?;
            let hub = net.names[0].clone();
            if number == 0 {
                done(&format!("ip -n {hub} link add br0 type bridge"))?;
                done(&format!("ip -n {hub} addr add 10.77.0.254/24 dev br0"))?;
                done(&format!("ip -n {hub} link set br0 up"))?;
                continue;
            }
            done(&format!("ip -n {hub} link add v{number} type veth peer name eth0 netns {name}"))?;
            done(&format!("ip -n {hub} link set v{number} master br0 up"))?;
            done(&format!("ip -n {name} addr add 10.77.0.{number}/24 dev eth0"))?;
            done(&format!("ip -n {name} link set eth0 up"))?;
        }
        Ok(net)
    }

    /// The command, in the namespace of a machine; 0 is that of the coordinator.
    fn inside(&self, machine: usize, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.names[machine]]).arg(command.get_program()).args(command.get_args());
        command.get_envs().for_each(|(key, value)| match value {
            Some(value) => drop(inside.env(key, value)),
            None => drop(inside.env_remove(key)),
        });
        inside.stdin(Stdio::null());
        inside
    }

    /// Does something to the link of a machine, at the side of the bridge.
    fn link(&self, machine: usize, what: &str) {
        let words = what.replace("LINK", &format!("v{machine}"));
        done(&format!("ip netns exec {} {words}", self.names[0])).unwrap();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = done(&format!("ip netns del {name}"));
        }
    }
}

/// Certificates of an authority of our own: all machines of a test have the same one, for all of their addresses.
fn certificates(shared: &Shared) -> Result<Vec<String>, String> {
    let dir = shared.work.place("certificates");
    fs::create_dir(&dir).unwrap();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let [ca_key, ca, key, request, cert, more] = ["ca.key", "ca.pem", "key.pem", "me.csr", "cert.pem", "more"].map(at);
    fs::write(&more, "subjectAltName=IP:10.77.0.1,IP:10.77.0.2,IP:10.77.0.3,IP:10.77.0.4\n").unwrap();
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    done(&format!("openssl req -x509 {curve} -days 2 -subj /CN=ioriot-test-ca -keyout {ca_key} -out {ca}"))?;
    done(&format!("openssl req {curve} -subj /CN=ioriot-test -keyout {key} -out {request}"))?;
    done(&format!(
        "openssl x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -days 2 -extfile {more} -out {cert}"
    ))?;
    Ok(vec!["--tls".into(), dir.to_str().unwrap().into()])
}

/// Machines that serve, and how to ask them.
struct Machines {
    net: Net,
    servers: Vec<Server>,
    certificates: Vec<String>,
}

impl Machines {
    /// So many; `None`, and said, where that is not possible.
    fn start(shared: &Shared, count: usize) -> Option<Machines> {
        let made = Net::make(count).and_then(|net| certificates(shared).map(|certificates| (net, certificates)));
        let (net, certificates) = match made {
            Ok(made) => made,
            Err(why) => {
                skip(Need::Program("netns"), why);
                return None;
            }
        };
        let words: Vec<&str> = certificates.iter().map(String::as_str).collect();
        let servers = (1..=count).map(|number| {
            let bind = format!("10.77.0.{number}:50060");
            let more: Vec<&str> = ["--bind", &bind].into_iter().chain(words.iter().copied()).collect();
            Server::start(net.inside(number, &shared.server(&more))).unwrap()
        });
        Some(Machines { servers: servers.collect(), net, certificates })
    }

    fn replay(&self, shared: &Shared, out: &str, more: &[&str]) -> Command {
        let on: Vec<&str> = self.servers.iter().map(|server| server.at.as_str()).collect();
        let more: Vec<&str> = self.certificates.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.net.inside(0, &shared.replay(&on, out, &more))
    }
}

fn runs(shared: &Shared, out: &str) -> Vec<PathBuf> {
    shared.runs(out)
}

#[test]
fn machines_of_a_network_do_what_one_does() {
    let shared = Shared::new(40, 12);
    let alone = shared.alone();
    for count in [2, 4] {
        let Some(machines) = Machines::start(&shared, count) else { return };
        let out = format!("on{count}");
        let said = summary(&within(LIMIT, machines.replay(&shared, &out, &[])), 0);
        good(&shared, &said, count);
        assert_eq!(outcomes(&runs(&shared, &out)), alone, "{count} machines");
        shared.nothing_left();
        shared.init();
        fs::remove_dir_all(shared.work.place("certificates")).unwrap();
    }
}

#[test]
fn a_stranger_is_not_let_in() {
    let shared = Shared::new(1, 4);
    let Some(machines) = Machines::start(&shared, 2) else { return };
    // Certificates of another authority, and none.
    fs::rename(shared.work.place("certificates"), shared.work.place("known")).unwrap();
    certificates(&shared).unwrap();
    let output = within(LIMIT, machines.replay(&shared, "run", &[]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let bare = machines.net.inside(0, &shared.replay(&["10.77.0.1:50060"], "run", &[]));
    let output = within(LIMIT, bare);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--tls"), "{output:?}");
    assert!(!shared.work.place("run").exists());
}

#[test]
fn a_link_that_goes_down_ends_the_replay() {
    let shared = Shared::new(1000, 12);
    let Some(machines) = Machines::start(&shared, 3) else { return };
    let mut replay = machines.replay(&shared, "run", &["--delay", "3"]);
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    under_way(&shared);
    machines.net.link(2, "ip link set LINK down");
    let began = Instant::now();
    let said = summary(&finish(LIMIT, replay), 1);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((&said["complete"], &said["different"]), (&false.into(), &0.into()));
    assert_eq!(runs(&shared, "run").len(), 2);
    // The one that nobody reaches ends, too.
    shared.nothing_left();
}

#[test]
fn a_slow_link_makes_it_slower_and_nothing_else() {
    let shared = Shared::new(30, 12);
    let alone = shared.alone();
    let Some(machines) = Machines::start(&shared, 2) else { return };
    machines.net.link(1, "tc qdisc add dev LINK root tbf rate 2mbit burst 5kb latency 400ms");
    let said = summary(&within(LIMIT, machines.replay(&shared, "run", &[])), 0);
    good(&shared, &said, 2);
    assert_eq!(outcomes(&runs(&shared, "run")), alone);
    shared.nothing_left();
}
