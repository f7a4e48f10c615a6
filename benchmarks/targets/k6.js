// k6 run -e TARGET=127.0.0.1:8080 k6.js
import http from "k6/http";
import { check } from "k6";

const target = `http://${__ENV.TARGET || "127.0.0.1:8080"}`;
const headers = { Host: __ENV.APP || "album-api.localhost", Accept: "application/json" };

export const options = {
  scenarios: {
    steady: {
      executor: "constant-arrival-rate",
      rate: 200,
      timeUnit: "1s",
      duration: `${__ENV.DURATION || 10}s`,
      preAllocatedVUs: 20,
    },
  },
  thresholds: {
    http_req_failed: ["rate==0"],
    http_req_duration: ["p(99)<100"],
  },
};

export default function () {
  const response = http.get(`${target}/`, { headers });
  check(response, { "a revision answered": (r) => r.json("revision") !== "" });
}
