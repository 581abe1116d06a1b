// PUT as the manual of Node.js has it: http, a pipeline, a file. usage: node_put.mjs DIR [HASH]
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { listen } from "./listen.mjs";

const [root, algorithm] = process.argv.slice(2);

function hashing(hash) {
  return new Transform({
    transform(chunk, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

async function store(request, response) {
  const file = createWriteStream(path.join(root, path.basename(request.url)));
  if (algorithm === undefined) {
    await pipeline(request, file);
    response.writeHead(201).end();
    return;
  }
  const hash = createHash(algorithm);
  await pipeline(request, hashing(hash), file);
  response.writeHead(201, { Digest: hash.digest("hex") }).end();
}

listen(
  createServer((request, response) => {
    if (request.method !== "PUT") response.writeHead(200).end("here\n");
    else store(request, response).catch(() => response.destroy());
  }),
);
