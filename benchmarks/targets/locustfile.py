"""locust -f locustfile.py --headless -u 20 -r 20 -t 10s --host http://127.0.0.1:8080"""

from locust import HttpUser, between, task

_HEADERS = {"Host": "album-api.localhost"}


class Visitor(HttpUser):
    """Mostly small pages, now and then a large one."""

    host = "http://127.0.0.1:8080"
    wait_time = between(0.01, 0.1)

    @task(10)
    def page(self) -> None:
        """A small page."""
        self.client.get("/", name="page", headers=_HEADERS)

    @task(1)
    def download(self) -> None:
        """A megabyte."""
        self.client.get("/?size=1MiB", name="download", headers=_HEADERS)
