// Package kube runs a real Kubernetes for tests: etcd, API server, controller
// manager and scheduler, built from Kubernetes' own modules.
//
// There are two levels. The control plane alone takes no root; it decides what the
// API decides, and pods are played: a loop reports them as running. With a node
// (root, and the namespaces of [Enter]) containerd, kubelet and kube-proxy run the
// pods, too.
//
// Everything listens on this machine only, inside the namespaces on no network at
// all, and ends with the test.
package kube
