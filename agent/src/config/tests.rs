use plasmon_protocol::resources::Amount;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use clap::Parser;

use super::*;
use crate::machine::Source;

const GIB: u64 = 1 << 30;

const MACHINE: Machine = Machine { total_bytes: 16 * GIB, available_bytes: 10 * GIB, source: Source::CgroupV2, cpus: 4.0 };

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: AgentOptions,
}

fn parse(flags: &[&str]) -> Result<AgentOptions, String> {
    Line::try_parse_from(["plasmon-agent"].iter().chain(flags)).map(|line| line.options).map_err(|error| error.to_string())
}

fn resolve(flags: &[&str]) -> Result<Config, Error> {
    Config::resolve(parse(flags).unwrap(), Kind::Standalone, &MACHINE)
}

fn refusal(flags: &[&str]) -> String {
    let error = resolve(flags).unwrap_err();
    assert_eq!(error.code(), "invalid");
    error.to_string()
}

#[test]
fn the_defaults_hold() {
    let config = resolve(&["--temp-dir", "/x"]).unwrap();
    let expected = Config {
        listen: "127.0.0.1:6480".parse().unwrap(),
        allow_host: Vec::new(),
        insecure_plaintext: false,
        token_file: None,
        temp_dir: "/x".into(),
        num_cpus: "4".parse().unwrap(),
        num_gpus: Amount::whole(crate::machine::gpus::visible().len() as u32),
        memory: Bytes(10 * GIB + 4096 - 3 * GIB / 4096 * 4096),
        fail_infeasible: false,
        lineage_limit: Bytes(64 << 20),
        resources: BTreeMap::new(),
        object_store_memory: Bytes(3 * GIB / 4096 * 4096),
        drain_timeout: 30,
        spill: true,
        spill_dir: Vec::new(),
        spill_url: None,
        spill_limit: None,
        spill_threshold: 0.8,
        spill_threads: 4,
        oom_threshold: 0.95,
        oom_min_free: None,
        oom_dry_run: false,
        oom_retries: None,
    };
    assert_eq!(Config { object_store_memory: expected.object_store_memory, ..config.clone() }, expected);
    assert!(config.object_store_memory.0.abs_diff(3 * GIB) < 8192 && config.object_store_memory.0.is_multiple_of(4096));
    let embedded = Config::resolve(parse(&[]).unwrap(), Kind::Embedded, &MACHINE).unwrap();
    assert_eq!(embedded.listen, "127.0.0.1:0".parse().unwrap());
    let full = Machine { available_bytes: 0, ..MACHINE };
    assert_eq!(Config::resolve(parse(&[]).unwrap(), Kind::Embedded, &full).unwrap().object_store_memory, STORE_MIN);
}

#[test]
fn every_flag_arrives() {
    let flags = "--listen 0.0.0.0:7000 --allow-host Node-1.Example --allow-host b --insecure-plaintext --token-file /t --temp-dir /x \
        --num-cpus 1.5 --memory 1500kB --resources {\"db\":2.5,\"GPU\":2} --fail-infeasible --object-store-memory 512mib --drain-timeout 7 --spill off --spill-dir /a,/b --spill-dir /c --spill-limit 3GiB --spill-threshold 1 \
        --spill-threads 5 --oom-threshold 0.5 --oom-min-free 2GiB --oom-dry-run --oom-retries 3 --lineage-limit 5MB";
    let config = resolve(&flags.split_whitespace().collect::<Vec<_>>()).unwrap();
    let expected = Config {
        listen: "0.0.0.0:7000".parse().unwrap(),
        allow_host: vec!["node-1.example".to_owned(), "b".to_owned()],
        insecure_plaintext: true,
        token_file: Some("/t".into()),
        temp_dir: "/x".into(),
        num_cpus: "1.5".parse().unwrap(),
        num_gpus: Amount::whole(2),
        memory: Bytes(1_500_000),
        fail_infeasible: true,
        lineage_limit: Bytes(5_000_000),
        resources: [("db".into(), Amount::near(2.5))].into(),
        object_store_memory: Bytes(512 << 20),
        drain_timeout: 7,
        spill: false,
        spill_dir: vec!["/a".into(), "/b".into(), "/c".into()],
        spill_url: None,
        spill_limit: Some(Bytes(3 * GIB)),
        spill_threshold: 1.0,
        spill_threads: 5,
        oom_threshold: 0.5,
        oom_min_free: Some(Bytes(2 << 30)),
        oom_dry_run: true,
        oom_retries: Some(3),
    };
    assert_eq!(config, expected);
    assert_eq!(Config::from_json(&config.to_json().unwrap(), &MACHINE).unwrap(), config);
}

#[test]
fn the_printed_configuration_is_a_file_that_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    for flags in [
        &["--num-cpus", "0.25", "--allow-host", "a,b", "--spill-dir", "a,b", "--spill-limit", "1GB"][..],
        &["--token-file", "relative", "--insecure-plaintext", "--listen=[::]:1", "--spill", "off", "--spill-threshold", "0.65"],
    ] {
        let config = resolve(flags).unwrap();
        fs::write(&file, config.to_toml().unwrap()).unwrap();
        assert_eq!(resolve(&["--config", file.to_str().unwrap()]).unwrap(), config);
    }
}

#[test]
fn a_store_is_whole_pages_within_the_machine() {
    assert_eq!(resolve(&["--object-store-memory", "1048577"]).unwrap().object_store_memory, Bytes((1 << 20) + 4096));
    assert_eq!(resolve(&["--object-store-memory", "16GiB"]).unwrap().object_store_memory, Bytes(16 * GIB));
    assert!(refusal(&["--object-store-memory", "1000000"]).contains("less than 1 MiB"));
    let text = refusal(&["--object-store-memory", "24GiB"]);
    for part in
        ["--object-store-memory", "'24 GiB'", "8 GiB more", "16 GiB of memory in all (cgroup v2)", "10 GiB available", "30 % (3.00 GiB)"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_unit_file_waits_for_what_runs() {
    let unit = include_str!("../../../assets/deploy/plasmon-agent.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(seconds.parse::<u32>().unwrap() > DRAIN_SECONDS + 10, "{seconds}");
}

#[test]
fn another_address_than_loopback_needs_the_word() {
    for good in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(resolve(&["--listen", good]).is_ok(), "{good}");
    }
    for bad in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        let text = refusal(&["--listen", bad]);
        assert!(text.contains("--listen") && text.contains("--insecure-plaintext"), "{text}");
        assert!(resolve(&["--listen", bad, "--insecure-plaintext=YES"]).is_ok());
        assert!(resolve(&["--listen", bad, "--insecure-plaintext=false"]).is_err());
    }
}

#[test]
fn bad_flag_values_name_the_flag_and_the_value() {
    for (flag, value) in [
        ("--listen", "localhost"),
        ("--listen", "127.0.0.1"),
        ("--num-cpus", "two"),
        ("--num-cpus", "NaN"),
        ("--object-store-memory", "5 parsecs"),
        ("--object-store-memory", "-1"),
        ("--spill", "maybe"),
        ("--spill-limit", "much"),
        ("--spill-threshold", "most"),
        ("--spill-threads", "-1"),
    ] {
        let text = parse(&[&format!("{flag}={value}")]).unwrap_err();
        assert!(text.contains(flag) && text.contains(value), "{text}");
    }
    for name in ["http://a", "a:80", "", "a b", "a..b", "-a", "ü", "a\n"] {
        assert!(refusal(&[&format!("--allow-host={name}")]).contains("--allow-host"), "{name}");
    }
    assert!(parse(&["--temp-dir="]).unwrap_err().contains("--temp-dir"));
    assert!(parse(&["--no-such"]).is_err());
}

#[test]
fn what_is_said_about_spilling_must_make_sense() {
    for (flag, value) in [
        ("--spill-threshold", "1.5"),
        ("--spill-threshold", "0"),
        ("--spill-threshold", "NaN"),
        ("--spill-threads", "0"),
        ("--spill-threads", "65"),
        ("--spill-limit", "0"),
        ("--spill-dir", "/a,/b,/a"),
        ("--spill-url", "ftp://a/b"),
        ("--spill-url", "s3://name:secret@bucket/prefix"),
        ("--spill-url", "bucket"),
    ] {
        let text = refusal(&[&format!("{flag}={value}")]);
        assert!(text.contains(flag) && !text.contains("secret"), "{text}");
    }
    assert!(refusal(&["--spill-threshold", "1.5"]).contains("1.5"));
    let url = resolve(&["--spill-url", "s3://bucket/prefix"]);
    if cfg!(feature = "object-storage") {
        assert_eq!(url.unwrap().spill_url.as_deref(), Some("s3://bucket/prefix"));
    } else {
        assert!(url.unwrap_err().to_string().contains("feature object-storage"));
    }
    assert!(!resolve(&["--spill", "off", "--spill-dir", "/nowhere"]).unwrap().spill);
}

#[test]
fn what_the_node_offers_must_fit_it() {
    for (flags, words) in [
        (["--memory", "15GiB", "--object-store-memory", "2GiB"], ["'15 GiB'", "2 GiB that makes 17 GiB, 1 GiB more than there is"]),
        (["--num-gpus", "2", "--resources", r#"{"gpu": 1}"#], ["--num-gpus '2'", "--resources says 1"]),
        (["--memory", "1GB", "--resources", r#"{"memory": 1000}"#], ["--memory '953.67 MiB'", "says 1000 B"]),
    ] {
        let error = refusal(&flags);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let config = resolve(&["--num-gpus", "2", "--resources", r#"{"gpu": 2, "CPU": 3}"#]).unwrap();
    assert_eq!((config.num_gpus, config.num_cpus), (Amount::whole(2), Amount::whole(3)));
}

#[test]
fn bad_files_name_file_key_and_value() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    let name = file.to_str().unwrap();
    for (text, key, value, cause) in [
        ("num-cpus = 2\nspeed = 9", "speed", "'9'", "unknown field"),
        ("num_cpus = 2", "num_cpus", "'2'", "expected one of"),
        ("config = \"x\"", "config", "'x'", "unknown field"),
        ("object-store-memory = \"5 parsecs\"", "object-store-memory", "'5 parsecs'", "unit"),
        ("object-store-memory = true", "object-store-memory", "'true'", "512MiB"),
        ("object-store-memory = -1", "object-store-memory", "'-1'", "512MiB"),
        ("num-cpus = \"2\"", "num-cpus", "'2'", "expected"),
        ("num-cpus = nan", "num-cpus", "'nan'", "between"),
        ("listen = \"nowhere\"", "listen", "'nowhere'", "address"),
        ("allow-host = \"a\"", "allow-host", "'a'", "sequence"),
        ("\nnum-cpus = = 2", "line 2", "'num-cpus = = 2'", ""),
        ("num-cpus = 1\nnum-cpus = 2", "line 2", "'num-cpus = 2'", "duplicate"),
    ] {
        fs::write(&file, text).unwrap();
        let error = refusal(&["--config", name]);
        assert!([name, key, value, cause].iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    let missing = resolve(&["--config", "/no/such/file.toml"]).unwrap_err();
    assert!(missing.code() == "system" && missing.to_string().contains("/no/such/file.toml"), "{missing}");
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(&file, "token-file = \"token\"\ntemp-dir = \"/abs\"\nobject-store-memory = \"2MB\"\nnum-cpus = 3\nspill-dir = [\"here\"]")
        .unwrap();
    let config = resolve(&["--config", file.to_str().unwrap()]).unwrap();
    assert_eq!(config.token_file, Some(directory.path().join("token")));
    assert_eq!(config.temp_dir, Path::new("/abs"));
    assert_eq!(config.spill_dir, [directory.path().join("here")]);
    assert_eq!((config.object_store_memory, config.num_cpus), (Bytes(2_002_944), Amount::whole(3)));
}

#[test]
fn a_configuration_from_a_starter_is_checked_again() {
    let good = resolve(&[]).unwrap();
    let spoilt: [(&str, serde_json::Value); 5] = [
        ("listen", "0.0.0.0:1".into()),
        ("object-store-memory", 4097.into()),
        ("object-store-memory", (1_u64 << 50).into()),
        ("num-cpus", (-1).into()),
        ("extra", 1.into()),
    ];
    for (key, value) in spoilt {
        let mut json: BTreeMap<String, serde_json::Value> = serde_json::from_str(&good.to_json().unwrap()).unwrap();
        json.insert(key.to_owned(), value);
        let error = Config::from_json(&serde_json::to_string(&json).unwrap(), &MACHINE).unwrap_err();
        assert_eq!(error.code(), "invalid", "{key}");
    }
}

/// In a process of its own, for the sake of its environment: this test again, with `FLAGS` to resolve.
fn resolved_elsewhere(flags: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let answer = directory.path().join("answer");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "config::tests::a_flag_goes_before_the_environment_and_that_before_the_file"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLASMON_")) {
        child.env_remove(name);
    }
    child.env("FLAGS", flags).env("ANSWER", &answer).envs(environment.iter().copied());
    assert!(child.output().unwrap().status.success());
    let answer = fs::read_to_string(answer).unwrap();
    Config::from_json(&answer, &MACHINE).map_err(|_| answer)
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    if let (Some(answer), Ok(flags)) = (std::env::var_os("ANSWER"), std::env::var("FLAGS")) {
        let options = match flags.as_str() {
            "environment" => AgentOptions::from_environment(),
            _ => Ok(parse(&flags.split_whitespace().collect::<Vec<_>>()).unwrap()),
        };
        let config = options.and_then(|options| Config::resolve(options, Kind::Standalone, &MACHINE)).and_then(|config| config.to_json());
        fs::write(answer, config.unwrap_or_else(|error| error.to_string())).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(
        &file,
        "num-cpus = 1\nlisten = \"127.0.0.1:1\"\nobject-store-memory = 4194304\ninsecure-plaintext = true\nallow-host = [\"f\"]",
    )
    .unwrap();
    let environment = [
        ("PLASMON_CONFIG", file.to_str().unwrap()),
        ("PLASMON_NUM_CPUS", "2"),
        ("PLASMON_LISTEN", "127.0.0.1:2"),
        ("PLASMON_INSECURE_PLAINTEXT", "off"),
        ("PLASMON_ALLOW_HOST", "e1,e2"),
        ("PLASMON_SPILL_DIR", "/e1,/e2"),
        ("PLASMON_SPILL", "off"),
        ("PLASMON_TEMP_DIR", "/from/environment"),
        ("TMPDIR", "/from/tmpdir"),
    ];
    let config = resolved_elsewhere("--num-cpus 3", &environment).unwrap();
    assert_eq!(config.num_cpus, Amount::whole(3));
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.object_store_memory, Bytes(4 << 20));
    assert!(!config.insecure_plaintext);
    assert_eq!(config.allow_host, ["e1", "e2"]);
    assert!(!config.spill && config.spill_dir == [Path::new("/e1"), Path::new("/e2")]);
    assert_eq!(config.temp_dir, Path::new("/from/environment"));
    assert_eq!(resolved_elsewhere("environment", &environment).unwrap().num_cpus, Amount::whole(2));
    assert_eq!(resolved_elsewhere("", &[("TMPDIR", "/from/tmpdir")]).unwrap().temp_dir, Path::new("/from/tmpdir"));
    assert_eq!(resolved_elsewhere("", &[("TMPDIR", "")]).unwrap().temp_dir, Path::new("/tmp"));

    for (name, value) in [("PLASMON_NUM_CPUS", "some"), ("PLASMON_INSECURE_PLAINTEXT", "perhaps"), ("PLASMON_LISTEN", "x")] {
        let error = resolved_elsewhere("environment", &[(name, value)]).unwrap_err();
        assert!(error.starts_with(&format!("{name} '{value}' is not valid: ")), "{error}");
    }
}

#[test]
fn the_out_of_memory_monitor_is_switched_off_by_name_or_number() {
    for off in ["off", "OFF", "1", "1.0"] {
        assert_eq!(resolve(&["--oom-threshold", off]).unwrap().oom_threshold, 1.0, "{off}");
    }
    for bad in ["0", "1.1", "-1", "NaN"] {
        let error = refusal(&[&format!("--oom-threshold={bad}")]);
        assert!(error.contains("--oom-threshold") && error.contains("more than 0"), "{error}");
    }
    assert!(parse(&["--oom-threshold", "much"]).is_err());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.toml");
    fs::write(&path, "oom-threshold = \"off\"\noom-min-free = \"1GiB\"").unwrap();
    let file = AgentOptions::from_file(&path).unwrap();
    assert_eq!((file.oom_threshold, file.oom_min_free), (Some(1.0), Some(Bytes(1 << 30))));
}
