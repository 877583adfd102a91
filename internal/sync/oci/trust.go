package oci

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

func (c TLSConfig) check() error {
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("source.tls.certFile and source.tls.keyFile must be given together")
	}
	return nil
}

func (c TLSConfig) files() []file {
	var files []file
	if c.CAFile != "" && !c.InsecureSkipVerify {
		files = append(files, file{"source.tls.caFile", c.CAFile})
	}
	if c.CertFile != "" {
		files = append(files, file{"source.tls.certFile", c.CertFile}, file{"source.tls.keyFile", c.KeyFile})
	}
	return files
}

// load reads the files. The CA is added to the system's, as a registry's blobs
// may be elsewhere. Go accepts a server's certificate that is itself among the
// roots, with CA:FALSE too, which is what people hand over as "the CA" of a
// self-signed registry; its name and dates are checked all the same.
func (c TLSConfig) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" && !c.InsecureSkipVerify {
		pool, err := x509.SystemCertPool()
		if err != nil { // an image without any
			pool = x509.NewCertPool()
		}
		content, err := file{"source.tls.caFile", c.CAFile}.read()
		if err != nil {
			return nil, err
		}
		certificates, err := parseCertificates(content)
		if err != nil {
			return nil, fmt.Errorf("source.tls.caFile: %s: %w", c.CAFile, err)
		}
		for _, certificate := range certificates {
			pool.AddCert(certificate)
		}
		config.RootCAs = pool
	}
	if c.CertFile != "" {
		certPEM, err := file{"source.tls.certFile", c.CertFile}.read()
		if err != nil {
			return nil, err
		}
		keyPEM, err := file{"source.tls.keyFile", c.KeyFile}.read()
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, fmt.Errorf("source.tls.certFile %s and keyFile %s: %w", c.CertFile, c.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// parseCertificates takes PEM, or a single certificate as DER.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	if single, err := x509.ParseCertificate(content); err == nil {
		return []*x509.Certificate{single}, nil
	}
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	return certificates, nil
}
