package oci

import (
	"oras.land/oras-go/v2/registry/remote/auth"
)

// basicLogin logs in with a user name and password, or with a bearer token that
// the registry takes as it is. Where the registry has a token server, oras-go
// takes name and password there.
func basicLogin(a AuthConfig, host string) (login, error) {
	if a.token().given() {
		token, err := a.token().read()
		if err != nil {
			return login{}, err
		}
		return login{
			credential: auth.StaticCredential(host, auth.Credential{AccessToken: token}),
			fixedToken: true,
		}, nil
	}
	username, err := a.username().read()
	if err != nil {
		return login{}, err
	}
	password, err := a.password().read()
	if err != nil {
		return login{}, err
	}
	return login{credential: auth.StaticCredential(host, auth.Credential{Username: username, Password: password})}, nil
}
