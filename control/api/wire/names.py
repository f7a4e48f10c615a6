"""Reads the names in a path of the native API, each as its own type."""

from __future__ import annotations

from aiohttp import web

from control.model.kinds import AppName, LabelName, ReplicaName, RevisionName


def app_of(request: web.Request) -> AppName:
    return AppName(request.match_info["app"])


def revision_of(request: web.Request) -> RevisionName:
    return RevisionName(request.match_info["revision"])


def replica_of(request: web.Request) -> ReplicaName:
    return ReplicaName(request.match_info["replica"])


def label_of(request: web.Request) -> LabelName:
    return LabelName(request.match_info["label"])
