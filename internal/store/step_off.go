//go:build !crashpoints

package store

// step marks a moment between two durable steps. In the program that users run
// it is nothing; one built with the tag crashpoints can be told to die there.
func step(string) {}
