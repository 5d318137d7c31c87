use std::time::Duration;

use super::*;
use crate::config::web::WebConfig;

/// The minimum cost, so that tests are fast.
const COST: u32 = 4;

fn users(all: &[(&str, &str)]) -> Users {
    users_with(COST, all)
}

fn users_with(cost: u32, all: &[(&str, &str)]) -> Users {
    let lines =
        all.iter().map(|(user, password)| format!("  {user}: {}\n", bcrypt::hash(password, cost).unwrap()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yml");
    std::fs::write(&path, format!("basic_auth_users:\n{}", lines.collect::<String>())).unwrap();
    WebConfig::load(&path).unwrap().users
}

fn header(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
}

fn basic(user: &str, password: &str) -> HeaderMap {
    header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

#[tokio::test]
async fn only_the_password_of_the_user_is_accepted() {
    let users = users(&[("alice", "one"), ("bob", "two:three")]);
    let authenticator = Authenticator::new().unwrap();
    for (user, password, expected) in [
        ("alice", "one", Ok(())),
        ("bob", "two:three", Ok(())),
        ("alice", "two:three", Err(Denial::Wrong)),
        ("alice", "", Err(Denial::Wrong)),
        ("alice", "one\0", Err(Denial::Wrong)),
        ("Alice", "one", Err(Denial::Wrong)),
        // Whichever hash stands in for an unknown user, its password is not accepted.
        ("mallory", "one", Err(Denial::Wrong)),
        ("mallory", "two:three", Err(Denial::Wrong)),
        ("", "", Err(Denial::Wrong)),
    ] {
        // The second time, a correct password is remembered.
        for _ in 0..2 {
            assert_eq!(
                authenticator.check(&basic(user, password), &users, None).await,
                expected,
                "{user} {password}"
            );
        }
    }
}

#[tokio::test]
async fn requests_without_basic_credentials_are_denied_as_such() {
    let users = users(&[("alice", "one")]);
    let authenticator = Authenticator::new().unwrap();
    for value in [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Bearer YWxpY2U6b25l",
        "Basic YWxpY2U=",
        "basic /w==",
        "YWxpY2U6b25l",
    ] {
        assert_eq!(authenticator.check(&header(value), &users, None).await, Err(Denial::Missing), "{value}");
    }
    assert_eq!(authenticator.check(&HeaderMap::new(), &users, None).await, Err(Denial::Missing));
    assert_eq!(authenticator.check(&header("bAsIc YWxpY2U6b25l"), &users, None).await, Ok(()));
}

#[tokio::test]
async fn a_remembered_password_is_forgotten_when_its_user_or_hash_changes() {
    let before = users(&[("alice", "one"), ("bob", "two")]);
    let authenticator = Authenticator::new().unwrap();
    assert_eq!(authenticator.check(&basic("alice", "one"), &before, None).await, Ok(()));
    let changed = users(&[("alice", "new"), ("bob", "two")]);
    assert_eq!(authenticator.check(&basic("alice", "one"), &changed, None).await, Err(Denial::Wrong));
    assert_eq!(authenticator.check(&basic("alice", "new"), &changed, None).await, Ok(()));
    let removed = users(&[("bob", "two")]);
    assert_eq!(authenticator.check(&basic("alice", "new"), &removed, None).await, Err(Denial::Wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_passwords_is_limited_and_a_remembered_password_does_not_wait() {
    let users = Arc::new(users(&[("alice", "one")]));
    let authenticator = Arc::new(Authenticator::new().unwrap());
    let client = |number: u8| Some(IpAddr::from([10, 0, 0, number]));
    assert_eq!(authenticator.check(&basic("alice", "one"), &users, client(1)).await, Ok(()));
    // Holds the turn, as a comparison does.
    let turn = authenticator.attempts.turn(client(9)).await.unwrap();
    let flood: Vec<_> = (0..20)
        .map(|number| {
            let (authenticator, users) = (Arc::clone(&authenticator), Arc::clone(&users));
            let wrong = basic("alice", &number.to_string());
            tokio::spawn(async move {
                authenticator.check(&wrong, &users, Some(IpAddr::from([10, 0, 0, 2]))).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(authenticator.check(&basic("alice", "one"), &users, client(1)).await, Ok(()));
    turn.release_after(Duration::ZERO);
    let mut outcomes = Vec::new();
    for attempt in flood {
        outcomes.push(attempt.await.unwrap());
    }
    let count = |denial| outcomes.iter().filter(|outcome| **outcome == Err(denial)).count();
    assert_eq!((count(Denial::Wrong), count(Denial::Busy)), (4, 16));
}

#[tokio::test]
async fn a_wrong_password_delays_the_next_comparison_but_not_its_own_response() {
    // A comparison takes some 20 ms, so the pause is long enough to be observed.
    let users = users_with(8, &[("alice", "one")]);
    let authenticator = Authenticator::new().unwrap();
    assert_eq!(authenticator.check(&basic("alice", "wrong"), &users, None).await, Err(Denial::Wrong));
    let responded = Instant::now();
    assert_eq!(authenticator.check(&basic("alice", "one"), &users, None).await, Ok(()));
    let correct = responded.elapsed();
    let compared = Instant::now();
    assert!(bcrypt::verify("one", users["alice"].as_str()).unwrap());
    let once = compared.elapsed();
    assert!(correct > once * 3, "the second comparison took {correct:?}, one takes {once:?}");
}
