// tus by its makers' server for Node.js, with their file store. usage: tus.mjs DIR
import { createServer } from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";
import { listen } from "./listen.mjs";

const tus = new Server({ path: "/files", datastore: new FileStore({ directory: process.argv[2] }) });

listen(createServer((request, response) => tus.handle(request, response)));
