package oci

// ECRRegion is for the table of partitions.
func ECRRegion(host string) (string, error) { return ecrRegion(host, "") }
