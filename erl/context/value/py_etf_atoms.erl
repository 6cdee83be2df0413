%% SPDX-License-Identifier: Apache-2.0
%% @doc Find the atom because of which a term was refused.
%%
%% Slow path only.  The driver has checked the term, so its structure is sound;
%% should it not be, the search ends without a find.
-module(py_etf_atoms).

-export([unknown/1]).

%% @doc The name of the first atom in the external term that does not exist.
-spec unknown(binary()) -> {ok, binary()} | none.
unknown(<<131, Term/binary>>) ->
    try
        _ = terms(1, Term),
        none
    catch
        throw:{unknown, Name} -> {ok, Name};
        error:function_clause -> none
    end;
unknown(_) ->
    none.

terms(0, Rest) -> Rest;
terms(N, Rest) -> terms(N - 1, term(Rest)).

%% Skip one term, and look at the atoms on the way.
term(<<119, N, Name:N/binary, R/binary>>) -> seen(Name, R);
term(<<118, N:16, Name:N/binary, R/binary>>) -> seen(Name, R);
term(<<115, N, Name:N/binary, R/binary>>) -> seen_latin1(Name, R);
term(<<100, N:16, Name:N/binary, R/binary>>) -> seen_latin1(Name, R);
term(<<97, _, R/binary>>) -> R;
term(<<98, _:32, R/binary>>) -> R;
term(<<70, _:64, R/binary>>) -> R;
term(<<110, N, _, _:N/binary, R/binary>>) -> R;
term(<<111, N:32, _, _:N/binary, R/binary>>) -> R;
term(<<106, R/binary>>) -> R;
term(<<107, N:16, _:N/binary, R/binary>>) -> R;
term(<<109, N:32, _:N/binary, R/binary>>) -> R;
term(<<77, N:32, _, _:N/binary, R/binary>>) -> R;
term(<<108, N:32, R/binary>>) -> term(terms(N, R));
term(<<104, N, R/binary>>) -> terms(N, R);
term(<<105, N:32, R/binary>>) -> terms(N, R);
term(<<116, N:32, R/binary>>) -> terms(2 * N, R);
term(<<88, R/binary>>) -> skip(12, term(R));
term(<<89, R/binary>>) -> skip(8, term(R));
term(<<120, R/binary>>) -> skip(12, term(R));
term(<<90, N:16, R/binary>>) -> skip(4 + 4 * N, term(R));
term(<<113, R/binary>>) -> terms(3, R);
term(<<112, _:32, _:17/binary, _:32, Free:32, R/binary>>) -> terms(4 + Free, R).

skip(N, Rest) ->
    case Rest of
        <<_:N/binary, R/binary>> -> R
    end.

seen(Name, Rest) ->
    try binary_to_existing_atom(Name, utf8) of
        _ -> Rest
    catch
        error:_ -> throw({unknown, Name})
    end.

seen_latin1(Name, Rest) ->
    seen(unicode:characters_to_binary(Name, latin1), Rest).
