// Package config turns one YAML file, the environment and the command line into
// one plain struct, [Config], and says where each value came from.
//
// What is always true:
//
//   - One table ([Keys]) names every key with its type, default, limits and help.
//     Flags, environment names, strict decoding, help and the reference are all
//     read from it, so none of them can know a key that the others do not.
//   - A value that reaches [Config] has been checked. Every mistake of every layer
//     is found in one pass and reported by key, place and cure ([Error]).
//   - No error, warning or printed configuration holds a secret.
//   - No file but the configuration file is opened: whether a certificate exists
//     is for its user to find out, who also re-reads it when it changes.
//
// Flags win over the environment, that over the file, that over the defaults. The
// layers are decoded strictly first, because viper alone takes `interval: 60` for
// 60 ns, `4.10` for "4.1" and 7 for true. They are laid over each other here,
// because each value keeps its origin, which viper would forget; viper, which no
// other package knows, then makes the struct of the dotted keys.
package config
