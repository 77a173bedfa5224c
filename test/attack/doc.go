// Package attack plays the adversaries of docs/THREATMODEL.md against the
// whole stack: a database under another image, records swapped by hand, a
// wallet forged with KMS Encrypt, a patched control plane, and a recording of
// everything that crossed it. Where it is possible, a canary shows that the
// attack itself is sound: the same steps succeed once the one protection that
// they meet is taken away.
package attack
