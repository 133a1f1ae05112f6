import { Injectable } from '@nestjs/common';

/** Stands for whatever the reader of the documentation stores things in. */
@Injectable()
export class FileStorage {
  private readonly files = new Map<string, Buffer>();

  async put(tenant: string, key: string, body: Buffer): Promise<void> {
    this.files.set(`${tenant}/${key}`, body);
  }

  async remove(tenant: string, key: string): Promise<void> {
    this.files.delete(`${tenant}/${key}`);
  }

  /** The files of a tenant in the order of their keys. */
  async list(tenant: string): Promise<{ key: string; bytes: number }[]> {
    const prefix = `${tenant}/`;
    return [...this.files]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, body]) => ({ key: name.slice(prefix.length), bytes: body.length }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}
