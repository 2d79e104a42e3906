use super::property;

#[test]
fn properties_are_read_as_kafka_writes_them() {
    let text = "#\n#Sat Nov 25 12:00:00 UTC 2026\nnode.id=1\ncluster.id = abc \nversion=1\n";
    assert_eq!(property(text, "cluster.id"), Some("abc"));
    assert_eq!(property(text, "node.id"), Some("1"));
    assert_eq!(property("cluster.id=\n", "cluster.id"), None);
    assert_eq!(property("cluster.identity=x\n", "cluster.id"), None);
}
