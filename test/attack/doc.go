// Package attack plays the adversaries of docs/THREATMODEL.md against a whole
// stack: the thief of the database, the holder of KMS Encrypt, the operator
// who patches or records the control plane, the client who sends nonsense.
package attack
