import { formatName } from "./names";

export interface Guest {
  name: string;
  table: number;
}

export function countByTable(guests: Guest[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (let i = 0; i < guests.length; i++) {
    const guest = guests[i];
    if (counts.has(guest.table)) {
      counts.set(guest.table, counts.get(guest.table)! + 1);
    } else {
      counts.set(guest.table, 1);
    }
  }
  return counts;
}

export const labelOf = (guest: Guest): string => {
  let label = "";
  label = label + formatName(guest.name);
  label = label + " (" + guest.table + ")";
  return label;
};

export class Plan {
  constructor(private guests: Guest[]) {}

  isFull(table: number, seats: number): boolean {
    const taken = this.guests.filter((guest) => guest.table === table).length;
    if (taken >= seats) {
      return true;
    } else {
      return false;
    }
  }
}
