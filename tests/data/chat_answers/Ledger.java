package shop;

import java.util.ArrayList;
import java.util.List;

public class Ledger {
    private final List<Integer> amounts = new ArrayList<>();

    public void add(int amount) {
        amounts.add(amount);
    }

    public int balance() {
        int sum = 0;
        for (int i = 0; i < amounts.size(); i++) {
            sum = sum + amounts.get(i);
        }
        return sum;
    }

    public List<Integer> debts() {
        List<Integer> result = new ArrayList<>();
        for (Integer amount : amounts) {
            if (amount < 0) {
                result.add(amount);
            }
        }
        return result;
    }

    static String padLeft(String text, int width) {
        String padded = text;
        while (padded.length() < width) {
            padded = " " + padded;
        }
        return padded;
    }
}
